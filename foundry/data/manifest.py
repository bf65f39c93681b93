"""The manifest of prepared data: a folder with one file of tokens for each part of a text.

Tokens are written one after the other, little-endian, in 16 or 32 bits. Byte pairs lie beside them as
`ranks.tiktoken`. Opening checks the manifest, the sizes of files and the ranks; `verify` reads all the rest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foundry.data import byte_pairs, characters, splits
from foundry.data.byte_pairs import RANKS, BytePairs
from foundry.data.characters import Characters
from foundry.data.pretrained import tokenizer as pretrained
from foundry.data.pretrained.opening import read as open_pretrained
from foundry.data.pretrained.tokenizer_json import FILE
from foundry.data.settings import Data
from foundry.data.splits import Split
from foundry.data.texts import MANIFEST
from foundry.data.tokenizer import Tokenizer, width
from foundry.errors import UserError

FORMAT = 2


@dataclass(frozen=True)
class TokenFile:
    """The file of one part; several splits may name the same."""

    file: str
    tokens: int
    bytes: int  # of the text that the tokens spell
    sha256: str  # of the file

    @property
    def bytes_per_token(self) -> float:
        """How much text a token stands for."""
        return self.bytes / self.tokens


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All that a folder of prepared data says about itself."""

    name: str  # of the text
    text_sha256: str
    characters: int
    sha256: str  # of the data set, as results name it
    split: str
    tokenizer_name: str
    tokenizer: Mapping[str, Any]  # what Tokenizer.save returned
    vocab_size: int
    filters: tuple[str, ...]
    dedupe: str
    splits: Mapping[str, TokenFile]

    def write(self, folder: Path) -> None:
        """Write `manifest.json`."""
        body = {"format": FORMAT, "dtype": width(self.vocab_size).name, **asdict(self)}
        for name, part in self.splits.items():
            body["splits"][name]["bytes_per_token"] = round(part.bytes_per_token, 4)
        (folder / MANIFEST).write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", "utf-8")


@dataclass(frozen=True)
class Prepared:
    """Prepared data, open: no token has been read yet."""

    manifest: Manifest
    tokenizer: Tokenizer
    splits: Mapping[str, Split]

    def require(self, data: Data, name: str) -> None:
        """Check that an experiment does not want it otherwise; what it leaves at the default it takes as is.

        Raises:
            UserError: it asks for another split, tokenizer, size of vocabulary, filters or dedupe.
        """
        own, default = self.manifest, Data()
        asked: dict[str, tuple[object, object, object]] = {
            "split": (data.split, default.split, own.split),
            "tokenizer": (data.tokenizer, None, own.tokenizer_name),
            "vocab_size": (data.vocab_size, None, own.vocab_size),
            "filters": (list(data.filters), [], list(own.filters)),
            "dedupe": (data.dedupe, default.dedupe, own.dedupe),
        }
        for key, (wanted, unsaid, has) in asked.items():
            if wanted not in (unsaid, has):
                raise UserError(
                    f"data {name!r} was prepared with {key} {has!r}, not {wanted!r}: "
                    f"leave out data.{key}, or prepare the text again"
                )


def read_manifest(name: str) -> Manifest:
    """Read the manifest of a folder.

    Raises:
        UserError: it is damaged, or of another format.
    """
    try:
        body = json.loads(Path(name, MANIFEST).read_text("utf-8"))
        if body.pop("format") != FORMAT:
            raise UserError(f"data {name!r} was prepared in another format: prepare it again")
        dtype = body.pop("dtype")
        files = {split: _token_file(part) for split, part in body.pop("splits").items()}
        manifest = Manifest(**{**body, "filters": tuple(body["filters"]), "splits": files})
        if list(files) != splits.names(manifest.split) or width(manifest.vocab_size).name != dtype:
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        if isinstance(error, UserError):
            raise
        raise _damaged(name, MANIFEST) from None
    return manifest


def open_prepared(name: str) -> Prepared:
    """Map the token files of a folder into memory.

    Raises:
        UserError: manifest, ranks or the size of a file is not as it was written.
    """
    manifest = read_manifest(name)
    dtype = width(manifest.vocab_size)
    splits = {}
    for split, part in manifest.splits.items():
        path = Path(name, part.file)
        if not path.is_file() or path.stat().st_size != part.tokens * dtype.itemsize:
            raise _damaged(name, part.file)
        splits[split] = Split(np.memmap(path, dtype=dtype, mode="r"), part.bytes)
    return Prepared(manifest, _tokenizer(name, manifest), splits)


def verify(name: str) -> None:
    """Read all token files and compare their hashes.

    Raises:
        UserError: something is not as it was written.
    """
    for part in open_prepared(name).manifest.splits.values():
        with Path(name, part.file).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != part.sha256:
                raise _damaged(name, part.file)


def _token_file(body: Mapping[str, Any]) -> TokenFile:
    part = TokenFile(*(body[key] for key in ("file", "tokens", "bytes", "sha256")))
    if Path(part.file).name != part.file or not all(n >= 1 for n in (part.tokens, part.bytes)):
        raise ValueError
    return part


def _tokenizer(name: str, manifest: Manifest) -> Tokenizer:
    body = manifest.tokenizer
    tokenizer: Tokenizer
    try:
        if body["kind"] == characters.KIND:
            tokenizer = Characters(body["vocabulary"])
        elif body["kind"] == pretrained.KIND:
            if hashlib.sha256(Path(name, FILE).read_bytes()).hexdigest() != body["file_sha256"]:
                raise _damaged(name, FILE)
            tokenizer = open_pretrained(Path(name, FILE))
        elif body["kind"] == byte_pairs.KIND:
            text = Path(name, RANKS).read_bytes()
            if hashlib.sha256(text).hexdigest() != body["ranks_sha256"]:
                raise _damaged(name, RANKS)
            ranks = byte_pairs.parse_ranks(text.decode("ascii"))
            tokenizer = BytePairs(body["pattern"], ranks, body["special_tokens"])
        else:
            raise ValueError
        if tokenizer.vocab_size != manifest.vocab_size:
            raise ValueError
    except OSError:
        raise _damaged(name, RANKS) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise error if isinstance(error, UserError) else _damaged(name, MANIFEST) from None
    return tokenizer


def _damaged(name: str, file: str) -> UserError:
    return UserError(f"data {name!r}: {file} is missing or damaged: prepare it again")
