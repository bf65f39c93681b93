"""Prepare a text once: tokens in files that any training maps into memory. Nothing is ever held whole."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from foundry.data.manifest import Manifest, TokenFile
from foundry.data.reading import Corpus, encoded
from foundry.data.settings import Data
from foundry.data.tokenizer import Tokenizer, width
from foundry.data.vocabulary import tokenizer_for
from foundry.errors import UserError


def prepare(data: Data, out: Path, say: Callable[[str], None] = lambda _: None) -> Manifest:
    """Write `data.dataset` as a folder of tokens; `say` hears of each step.

    The text is read three times: to know it, to train byte pairs where those are asked for, and to encode it.
    The folder appears whole or not at all; until then it is called `OUT.partial`.

    Raises:
        UserError: the text cannot be used, or `out` is there already.
    """
    if out.exists():
        raise UserError(f"{out} is there already: give another --out, or remove it")
    corpus = Corpus.of(data.dataset, data)
    corpus.require_length()
    say(f"{data.dataset}: {corpus.scan.characters:,} characters, sha256 {corpus.scan.sha256}")
    tokenizer_name, tokenizer = tokenizer_for(data, [corpus])
    say(f"tokenizer {tokenizer_name}: {tokenizer.vocab_size:,} tokens")
    partial = out.with_name(f"{out.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
        partial.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror}") from None
    try:
        files = _write(corpus, tokenizer, partial, say)
        manifest = Manifest(
            name=data.dataset,
            text_sha256=corpus.scan.sha256,
            characters=corpus.scan.characters,
            sha256=corpus.identity(tokenizer),
            split=data.split,
            tokenizer_name=tokenizer_name,
            tokenizer=tokenizer.save(partial),
            vocab_size=tokenizer.vocab_size,
            filters=data.filters,
            dedupe=data.dedupe,
            splits=files,
        )
        manifest.write(partial)
        partial.rename(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return manifest


def _write(
    corpus: Corpus, tokenizer: Tokenizer, folder: Path, say: Callable[[str], None]
) -> dict[str, TokenFile]:
    """Write each split under its name, those that are the same under that of the first; return all."""
    with ExitStack() as closing:
        writers: dict[tuple[str, ...], _Writer] = {}
        for names, pieces in corpus.parts():
            if names not in writers:
                path = folder / f"{names[0]}.bin"
                writers[names] = _Writer(closing.enter_context(path.open("wb")), path.name)
            writers[names].write(encoded(pieces, tokenizer), width(tokenizer.vocab_size))
    files = {}
    for names, writer in writers.items():
        file = writer.written()
        if not file.tokens:
            raise UserError(f"data {corpus.text.name!r}: its filters leave nothing to train on")
        say(f"{file.file}: {file.tokens:,} tokens of {file.bytes_per_token:.3f} bytes")
        files.update(dict.fromkeys(names, file))
    return files


class _Writer:
    """Appends token ids to a file, and counts."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._digest = hashlib.sha256()
        self._tokens = self._bytes = 0

    def write(
        self, chunks: Iterable[tuple[NDArray[np.uint32], int]], dtype: np.dtype[np.unsignedinteger]
    ) -> None:
        """Append the tokens of some chunks; with each comes how many bytes it spells."""
        for tokens, size in chunks:
            raw = tokens.astype(dtype).tobytes()
            self._file.write(raw)
            self._digest.update(raw)
            self._tokens += len(tokens)
            self._bytes += size

    def written(self) -> TokenFile:
        """Say what the file holds."""
        return TokenFile(self._name, self._tokens, self._bytes, self._digest.hexdigest())
