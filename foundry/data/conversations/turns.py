"""Conversations as splits of a data set: token ids one after the other, and which of them are learned."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from foundry.data import splits
from foundry.data.conversations.message import Conversation
from foundry.data.conversations.pieces import encode, text_of
from foundry.data.conversations.reading import read
from foundry.data.conversations.settings import FORMATS, WORDS, Conversations
from foundry.data.reading import Corpus, scan
from foundry.data.settings import DATASET, Data
from foundry.data.splits import Split
from foundry.data.texts import Piece as TextPiece
from foundry.data.texts import Text
from foundry.data.tokenizer import Tokenizer, width
from foundry.data.vocabulary import tokenizer_for
from foundry.errors import UserError
from foundry.registry import load_part

IGNORED = -100  # the target where nothing is learned


@dataclass(frozen=True, eq=False)
class Turns(Split):
    """Conversations, each from one of `starts` to the next; `n_bytes` are those of the learned tokens.

    The first token of a conversation is never learned: nothing stands before it.
    """

    learned: NDArray[np.bool_]  # (tokens,)
    starts: NDArray[np.int64]  # (conversations + 1,)

    @functools.cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each conversation."""
        return np.diff(self.starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def pair(self, index: int, block_size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return what a conversation gives to read and to predict, each (T,), T at most block_size.

        One that is longer loses its end.
        """
        start = int(self.starts[index])
        stop = min(int(self.starts[index + 1]), start + block_size + 1)
        ids = self.tokens[start:stop].astype(np.int64)
        return ids[:-1], np.where(self.learned[start + 1 : stop], ids[1:], IGNORED)


@dataclass(frozen=True, eq=False)
class Chats:
    """A file of conversations, ready to make a data set of."""

    name: str
    sha256: str  # of all that the tokens depend on
    tokenizer: Tokenizer
    splits: dict[str, Turns]
    notes: tuple[str, ...]  # about records that were left out


def read_conversations(data: Data, settings: Conversations) -> Chats:
    """Read the file that `data.dataset` names and write its conversations as tokens, all in memory.

    Splits are made of whole conversations, in the order of the file. A tokenizer of the text's own is made
    from the conversations as they are written in the format.

    Raises:
        UserError: the file or a record cannot be used, or there are too few to split.
    """
    _require_plain(data)
    form = load_part(FORMATS, "conversation format", settings.format)
    path = Path(data.dataset)
    found = read(path, skip=settings.bad_records == "skip")
    groups = _split(found.conversations, data)
    texts = [text_of(form.written(conversation)) for conversation in itertools.chain(*groups.values())]
    text = Text(data.dataset, True, functools.partial(_documents, texts))
    corpus = Corpus(text, scan(text), replace(data, dataset=DATASET))
    _, tokenizer = tokenizer_for(data, [corpus])
    made = [_turns(group, form, tokenizer, settings) for group in groups.values()]
    whole = [corpus.scan.sha256, tokenizer.sha256, data.split, settings.format, settings.loss_on]
    if settings.loss_on == WORDS:  # whatever they are written as
        asked = [repr(found.conversations), *(_learned(turns) for turns in made)]
        whole = [*asked, tokenizer.sha256, data.split, settings.loss_on]
    return Chats(
        name=data.dataset,
        sha256=hashlib.sha256(json.dumps(whole).encode("utf-8")).hexdigest(),
        tokenizer=tokenizer,
        splits={name: turns for names, turns in zip(groups, made, strict=True) for name in names},
        notes=found.notes(data.dataset),
    )


def _require_plain(data: Data) -> None:
    for name in ("sources", "filters"):
        if getattr(data, name):
            raise UserError(f"data.{name} does not go with data.conversations")
    for name in ("dedupe", "curriculum"):
        if getattr(data, name) != "none":
            raise UserError(f"data.{name} does not go with data.conversations")


def _split(conversations: Sequence[Conversation], data: Data) -> dict[tuple[str, ...], list[Conversation]]:
    groups = splits.dealt(data.split, conversations)
    if not all(groups.values()):
        raise UserError(
            f"data {data.dataset!r} has {len(conversations)} conversations, too few for split {data.split}"
        )
    return groups


def _documents(texts: Sequence[str]) -> Iterator[TextPiece]:
    return ((text, True) for text in texts)


def _learned(turns: Turns) -> str:
    """Hash what a split asks for: the same for two formats that ask for the same words."""
    asked = turns.tokens[turns.learned].astype("<u4")
    return hashlib.sha256(asked.tobytes()).hexdigest()


def _turns(
    group: Sequence[Conversation], form: ModuleType, tokenizer: Tokenizer, settings: Conversations
) -> Turns:
    ids, learned = zip(
        *(
            encode(form.written(conversation), tokenizer, words=settings.loss_on == WORDS)
            for conversation in group
        ),
        strict=True,
    )
    starts = np.cumsum([0, *map(len, ids)])
    tokens = np.concatenate(ids)
    counted = np.concatenate(learned) | (settings.loss_on == "all")
    counted[starts[:-1]] = False
    sizes = np.array([len(spelled) for spelled in tokenizer.spelling()])
    n_bytes = int(sizes[tokens[counted]].sum())
    return Turns(tokens.astype(width(tokenizer.vocab_size)), n_bytes, counted, starts)
