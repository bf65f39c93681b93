"""A data set ready for training: one text or several, a tokenizer, and four splits as token ids."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from foundry.data.conversations.settings import WORDS
from foundry.data.conversations.turns import Turns, read_conversations
from foundry.data.manifest import open_prepared
from foundry.data.reading import Corpus, encoded
from foundry.data.settings import Data
from foundry.data.splits import Split
from foundry.data.texts import is_prepared, read_text
from foundry.data.tokenizer import Tokenizer, width
from foundry.data.vocabulary import shared_tokenizer
from foundry.errors import UserError
from foundry.registry import load_part

if TYPE_CHECKING:
    from foundry.data.batches import Batches

__all__ = ["Dataset", "Source", "Split", "load", "read_text", "require_block"]


@dataclass(frozen=True, eq=False)
class Source:
    """One text of a data set."""

    name: str
    sha256: str  # of all that its tokens depend on: Corpus.identity
    weight: float  # in the choice of training sequences
    splits: Mapping[str, Split]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Texts ready for training.

    With several sources each training sequence is drawn from one of them, chosen by weight. Their other
    splits are simply joined, one source after the other by name, whatever the weights.
    """

    name: str
    tokenizer: Tokenizer
    sources: tuple[Source, ...]
    curriculum: str = "none"
    notes: tuple[str, ...] = ()  # what a person should know, such as records that were left out

    @property
    def sha256(self) -> str:
        """Identify text, tokenizer, split, filters and dedupe: the tokens of all splits.

        Weights and curriculum are not in it: they change no token, only which are drawn.
        """
        hashes = [source.sha256 for source in self.sources]
        return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()

    @functools.cached_property
    def splits(self) -> Mapping[str, Split]:
        """The splits by name: train, val_search, val_confirm, test."""
        return self.sources[0].splits if len(self.sources) == 1 else _Joined(self.sources)

    @property
    def vocab_size(self) -> int:
        """One more than the largest token id."""
        return self.tokenizer.vocab_size

    def decode(self, ids: Iterable[int]) -> str:
        """Turn token ids into text."""
        return self.tokenizer.decode(ids)

    def batches(self) -> Batches:
        """Return what training draws from; the first call may read the training text, to put it in order."""
        return self._batches

    @functools.cached_property
    def _batches(self) -> Batches:
        from foundry.data.batches import Blocks, Mixture
        from foundry.data.conversations.rows import Single

        curriculum = load_part("foundry/data/curricula", "curriculum", self.curriculum)
        blocks = []
        for source in self.sources:
            split = source.splits["train"]
            if isinstance(split, Turns):
                return Single(split, np.arange(len(split)), self.tokenizer.end)
            tokens = split.tokens
            blocks.append(Blocks(tokens, curriculum.build(tokens, self.tokenizer)))
        if len(blocks) == 1:
            return blocks[0]
        names, weights = zip(*((source.name, source.weight) for source in self.sources), strict=True)
        return Mixture(names, weights, tuple(blocks))


class _Joined(Mapping[str, Split]):
    """The splits of several sources, each joined when first asked for: that for training may be too large."""

    def __init__(self, sources: tuple[Source, ...]) -> None:
        self._sources = sources
        self._joined: dict[str, Split] = {}

    def __getitem__(self, name: str) -> Split:
        if name not in self._joined:
            found = [source.splits[name] for source in self._sources]
            tokens = np.concatenate([split.tokens for split in found])
            self._joined[name] = Split(tokens, sum(split.n_bytes for split in found))
        return self._joined[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources[0].splits)

    def __len__(self) -> int:
        return len(self._sources[0].splits)


@functools.lru_cache(maxsize=4)
def load(data: Data) -> Dataset:
    """Open or make what an experiment names: prepared data stays in its files, anything else is in memory.

    Raises:
        UserError: an unknown name, an unreadable file, or what does not go together.
    """
    if data.conversations is not None:
        chats = read_conversations(data, data.conversations)
        source = Source(chats.name, chats.sha256, 1.0, chats.splits)
        return Dataset(chats.name, chats.tokenizer, (source,), notes=chats.notes)
    prepared = {name: open_prepared(name) for name in data.names if is_prepared(name)}
    corpora = {name: Corpus.of(name, data) for name in data.names if name not in prepared}
    for corpus in corpora.values():
        corpus.require_length()
    tokenizer = shared_tokenizer(data, prepared, list(corpora.values()))
    sources = []
    for name, weight in data.names.items():
        if opened := prepared.get(name):
            sources.append(Source(name, opened.manifest.sha256, weight, opened.splits))
        else:
            splits = _encoded(corpora[name], tokenizer)
            sources.append(Source(name, corpora[name].identity(tokenizer), weight, splits))
    several = "+".join(Path(name).name for name in data.names)
    name = sources[0].name if len(sources) == 1 else several
    return Dataset(name, tokenizer, tuple(sources), data.curriculum)


def unselected(data: Data) -> Dataset:
    """Return what is scored on, whatever is trained on: the same data without filters and dedupe.

    Of conversations that is what the assistant says, in whatever format. A text comes in the tokens in which
    losses are counted; where others are trained on, it is cut into splits at the same places all the same.
    Losses are comparable where its sha256 is the same. Raises UserError as `load` does.
    """
    spoken = data.conversations and replace(data.conversations, loss_on=WORDS)
    tokenizer, size = data.unit
    plain = replace(data, filters=(), dedupe="none", curriculum="none", conversations=spoken)
    return load(replace(plain, tokenizer=tokenizer, vocab_size=size, loss_per=None))


def _encoded(corpus: Corpus, tokenizer: Tokenizer) -> dict[str, Split]:
    """Encode a text in memory."""
    read: dict[tuple[str, ...], list[tuple[NDArray[np.uint32], int]]] = {}
    for names, pieces in corpus.parts():
        read.setdefault(names, []).extend(encoded(pieces, tokenizer))
    splits = {}
    for names, chunks in read.items():
        tokens = np.concatenate([tokens for tokens, _ in chunks]).astype(width(tokenizer.vocab_size))
        if not len(tokens):
            raise UserError(f"data {corpus.text.name!r}: its filters leave nothing to train on")
        splits.update(dict.fromkeys(names, Split(tokens, sum(n_bytes for _, n_bytes in chunks))))
    return splits


def require_block(dataset: Dataset, block_size: int) -> None:
    """Check that every split of every source holds at least one block and its target.

    Raises:
        UserError: a split is shorter.
    """
    for source in dataset.sources:
        for name, split in source.splits.items():
            if not isinstance(split, Turns) and len(split.tokens) <= block_size:
                raise UserError(
                    f"data {source.name!r}: split {name} has {len(split.tokens)} tokens, "
                    f"fewer than a block of {block_size} and its target"
                )
