"""Prepare a text once: tokens in files that any training maps into memory. Nothing is ever held whole."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from foundry.data import splits
from foundry.data.manifest import Manifest, TokenFile
from foundry.data.reading import Corpus, encoded
from foundry.data.settings import Data
from foundry.data.texts import Piece
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
        files = dict(_write(corpus, tokenizer, partial, say))
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
            splits={name: files[name] for name in splits.SCHEMES[data.split]},
        )
        manifest.write(partial)
        partial.rename(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return manifest


def _write(
    corpus: Corpus, tokenizer: Tokenizer, folder: Path, say: Callable[[str], None]
) -> Iterator[tuple[str, TokenFile]]:
    """Write each part of the text under the name of the first split that it serves; yield every split."""
    for names, pieces in corpus.parts():
        file = _write_part(pieces, tokenizer, folder / f"{names[0]}.bin")
        if not file.tokens:
            raise UserError(f"data {corpus.text.name!r}: its filters leave nothing to train on")
        say(f"{file.file}: {file.tokens:,} tokens of {file.bytes_per_token:.3f} bytes")
        yield from ((name, file) for name in names)


def _write_part(pieces: Iterator[Piece], tokenizer: Tokenizer, path: Path) -> TokenFile:
    dtype = width(tokenizer.vocab_size)
    digest = hashlib.sha256()
    n_tokens = n_bytes = 0
    with path.open("wb") as file:
        for tokens, size in encoded(pieces, tokenizer):
            raw = tokens.astype(dtype).tobytes()
            file.write(raw)
            digest.update(raw)
            n_tokens += len(tokens)
            n_bytes += size
    return TokenFile(path.name, n_tokens, n_bytes, digest.hexdigest())
