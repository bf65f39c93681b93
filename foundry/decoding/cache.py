"""What one forward pass leaves for the next: tensors that grow along time."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from foundry.decoding.entries import STORES, Entry, Role
from foundry.decoding.kinds import EXACT


class ChangedError(RuntimeError):
    """A pass asks for other entries than the pass before."""


class Cache:
    """Entries in the order in which a forward pass asks for them; the same order in every pass.

    `kind` is one of KINDS; `windows` says of some entries, by their place in that order, how many positions
    attend to each other: older ones are let go of.
    """

    def __init__(self, kind: str = EXACT, windows: Mapping[int, int] | None = None) -> None:
        self._store = STORES[kind]
        self._windows = windows or {}
        self._entries: list[tuple[tuple[object, ...], Entry, int | None]] = []
        self._next = 0
        self._old = self._new = 0

    def begin(self, total: int, new: int) -> None:
        """Begin a pass that is to append `new` positions to every entry, `total` in all."""
        self._next = 0
        self._old, self._new = total - new, new

    def extend(self, new: Tensor, axis: int, role: Role = Role.EXACT, window: int | None = None) -> Tensor:
        """Append `new` along `axis` (negative) to the entry that is next, and return the whole of it.

        Of an entry with a window, what returns begins where the first of the new positions attends to, or
        earlier. It may share the cache's memory: it is to be read only.

        Raises:
            ChangedError: in the pass before, the entry here was for something else.
        """
        shape = list(new.shape)
        shape[axis] = -1
        asked = (axis, new.dtype, shape, role, window)
        if self._next == len(self._entries) and self._old == 0:
            self._entries.append((asked, self._store(new, axis, window, role), window))
        if self._next == len(self._entries) or new.size(axis) != self._new:
            raise ChangedError
        known, entry, _ = self._entries[self._next]
        if asked != known:
            raise ChangedError
        self._next += 1
        return entry.extend(new)

    def window(self, mask: object) -> int | None:
        """Return how many positions attend to each other in what is next, where not all do; see `Survey`."""
        return self._windows.get(self._next)

    def end(self) -> None:
        """End a pass.

        Raises:
            ChangedError: it did not ask for all entries.
        """
        if self._next != len(self._entries):
            raise ChangedError

    def bytes_at(self, total: int) -> int:
        """Return the most bytes that `total` positions take, those that windows have passed left out.

        Of a kind that rounds by groups, a newest group that lacks one position is exact.
        """
        held = (
            entry.bytes_at(total if window is None else min(total, window))
            for _, entry, window in self._entries
        )
        return math.ceil(sum(held))

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the entries have, used or not."""
        return sum(entry.nbytes for _, entry, _ in self._entries)


class Survey(Cache):
    """Finds the windows of a model, in one pass over as many positions as there will ever be."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[int, int] = {}

    def window(self, mask: object) -> None:
        """Note the window of a mask (…, T, T): positions from the first that a query sees to the query."""
        total = self._old + self._new
        if not isinstance(mask, Tensor) or tuple(mask.shape[-2:]) != (total, total):
            return
        seen = mask if mask.dtype == torch.bool else mask > -torch.inf
        first = seen.reshape(-1, total, total).any(dim=0).int().argmax(dim=-1)
        reach = int((torch.arange(total, device=first.device) - first).max()) + 1
        if reach < total:
            self.found[self._next] = reach
