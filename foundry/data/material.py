"""What a model trains on, wherever its tokens lie: held in this process, or kept from it in another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from foundry.data.batches import Batches
from foundry.data.conversations.arrange import Arranged, Marks, rows
from foundry.data.conversations.turns import Turns
from foundry.data.dataset import Dataset


class Material(Protocol):
    """Where training batches come from."""

    @property
    def marks(self) -> Marks | None:
        """What stands between conversations, where it is conversations that are trained on."""
        ...

    def batches(self) -> Batches:
        """Return what to draw from, of a text."""
        ...

    def rows(self, *, block_size: int, single: str) -> Arranged:
        """Return what to draw from, of conversations: one in a row if `single` gives a reason.

        Raises:
            UserError: nothing is learned within a block.
        """
        ...


@dataclass(frozen=True)
class Held:
    """The material of a data set in this process."""

    dataset: Dataset

    @property
    def marks(self) -> Marks | None:
        """Of the data set's tokenizer, where it holds conversations."""
        if not isinstance(self.dataset.splits["train"], Turns):
            return None
        return Marks.of(self.dataset.tokenizer)

    def batches(self) -> Batches:
        """Return the data set's own."""
        return self.dataset.batches()

    def rows(self, *, block_size: int, single: str) -> Arranged:
        """Arrange the conversations of the training split."""
        turns = self.dataset.splits["train"]
        assert isinstance(turns, Turns)
        return rows(turns, self.dataset.tokenizer.end, block_size=block_size, single=single)
