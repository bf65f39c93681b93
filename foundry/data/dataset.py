"""A text, its character vocabulary and its four splits.

Splits are contiguous blocks in the order of the text. Selection sees `val_search` alone; `val_confirm` is for
the comparison at the end; `test` is kept for a later, single look.
"""

from __future__ import annotations

import functools
import hashlib
import lzma
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from foundry.data.settings import Data
from foundry.errors import UserError, unknown

if TYPE_CHECKING:
    from foundry.data.batches import Batches

NAMES = ("shakespeare_char",)

# name of the scheme -> split -> from and to, as parts of the whole text
SCHEMES: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "standard": {
        "train": (0.0, 0.80),
        "val_search": (0.80, 0.85),
        "val_confirm": (0.85, 0.90),
        "test": (0.90, 1.0),
    },
    # For comparisons with published figures only: all three name nanoGPT's one validation split.
    "nanogpt": {
        "train": (0.0, 0.9),
        "val_search": (0.9, 1.0),
        "val_confirm": (0.9, 1.0),
        "test": (0.9, 1.0),
    },
}


@dataclass(frozen=True)
class Split:
    """One part of the text as token ids, (tokens,), and its size in UTF-8 bytes."""

    tokens: NDArray[np.uint32]
    n_bytes: int


@dataclass(frozen=True)
class Dataset:
    """A text ready for training; `sha256` is of the raw bytes, before any split."""

    name: str
    sha256: str
    vocabulary: str
    splits: Mapping[str, Split]

    @property
    def vocab_size(self) -> int:
        """How many different tokens there are."""
        return len(self.vocabulary)

    def decode(self, ids: Iterable[int]) -> str:
        """Turn token ids into text."""
        return "".join(self.vocabulary[i] for i in ids)

    def encode(self, text: str) -> NDArray[np.uint32]:
        """Turn text into token ids, (tokens,).

        Raises:
            UserError: the text has a character that the vocabulary lacks.
        """
        return encode(text, self.vocabulary, "the text")

    def batches(self) -> Batches:
        """Return what training draws from."""
        from foundry.data.batches import Blocks

        return Blocks.of(self.splits["train"].tokens)


def read_text(name: str) -> str:
    """Return the text of a shipped corpus or of any UTF-8 file.

    Raises:
        UserError: there is no such data set or file, or it is not text.
    """
    if name == "shakespeare_char":
        packed = resources.files("foundry").joinpath("data/corpus/shakespeare.txt.xz").read_bytes()
        return lzma.decompress(packed).decode("utf-8")
    path = Path(name)
    if not path.is_file():
        if path.suffix or len(path.parts) > 1:
            raise UserError(f"data file {name!r} does not exist")
        raise unknown("data set", name, NAMES)
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"data file {name!r} is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise UserError(f"data file {name!r} cannot be read: {error.strerror}") from None


def encode(text: str, vocabulary: str, source: str) -> NDArray[np.uint32]:
    """Turn characters into their positions in the sorted vocabulary, (len(text),).

    Raises:
        UserError: the text has a character that the vocabulary lacks; `source` names the text.
    """
    if not vocabulary:
        raise UserError(f"{source}: its vocabulary is empty")
    points = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    known = np.frombuffer(vocabulary.encode("utf-32-le"), dtype=np.uint32)
    ids = np.minimum(np.searchsorted(known, points), len(known) - 1)
    wrong = np.flatnonzero(known[ids] != points)
    if len(wrong):
        at = int(wrong[0])
        raise UserError(f"{source}: character {text[at]!r} at position {at} is outside the vocabulary")
    return ids.astype(np.uint32)


def _sized(text: str, name: str) -> str:
    if len(text) < 1000:
        raise UserError(f"data {name!r} has {len(text)} characters: too short to split and train on")
    return text


@functools.lru_cache(maxsize=4)
def load(data: Data) -> Dataset:
    """Read, encode and split the text that an experiment names.

    Raises:
        UserError: an unknown name, an unreadable file, or a character outside the vocabulary.
    """
    name, scheme, vocabulary = data.dataset, data.split, data.vocabulary
    if scheme not in SCHEMES:
        raise unknown("split", scheme, SCHEMES)
    text = _sized(read_text(name), name)
    characters = "".join(sorted(set(text if vocabulary is None else read_text(vocabulary))))
    tokens = encode(text, characters, f"data {name!r}")
    splits = {}
    for split, (start, stop) in SCHEMES[scheme].items():
        a, b = int(len(text) * start), int(len(text) * stop)
        splits[split] = Split(tokens[a:b], len(text[a:b].encode("utf-8")))
    return Dataset(name, hashlib.sha256(text.encode("utf-8")).hexdigest(), characters, splits)


def require_block(dataset: Dataset, block_size: int) -> None:
    """Check that every split holds at least one block and its target.

    Raises:
        UserError: a split is shorter.
    """
    for name, split in dataset.splits.items():
        if len(split.tokens) <= block_size:
            raise UserError(
                f"data {dataset.name!r}: split {name} has {len(split.tokens)} characters, "
                f"fewer than a block of {block_size} and its target"
            )
