"""What one forward pass leaves for the next: tensors that grow along time."""

from __future__ import annotations

import torch
from torch import Tensor

_FIRST = 64  # positions that a new entry has room for


class ChangedError(RuntimeError):
    """A pass asks for other entries than the pass before."""


class Cache:
    """Entries in the order in which a forward pass asks for them; the same order in every pass."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._next = 0
        self._positions = 0

    def begin(self, total: int) -> None:
        """Begin a pass that is to leave `total` positions in every entry."""
        self._next = 0
        self._positions = total

    def extend(self, new: Tensor, axis: int) -> Tensor:
        """Append `new` along `axis` (negative) to the entry that is next, and return the whole of it.

        What is returned shares the cache's memory: it is to be read only.

        Raises:
            ChangedError: in the pass before, the entry here was for something else.
        """
        if self._next == len(self._entries):
            self._entries.append(_Entry(new, axis))
        entry = self._entries[self._next]
        self._next += 1
        whole = entry.extend(new, axis)
        if entry.length != self._positions:
            raise ChangedError
        return whole

    def end(self) -> None:
        """End a pass.

        Raises:
            ChangedError: it did not ask for all entries.
        """
        if self._next != len(self._entries):
            raise ChangedError

    @property
    def bytes_per_token(self) -> int:
        """Bytes that one more position takes in all entries."""
        return sum(entry.bytes_per_position for entry in self._entries)


class _Entry:
    """One tensor whose memory doubles when it is full."""

    def __init__(self, like: Tensor, axis: int) -> None:
        self.length = 0
        self._axis = axis
        self._kind = _kind(like, axis)
        self._memory = _room(like, axis, max(_FIRST, like.size(axis)))

    def extend(self, new: Tensor, axis: int) -> Tensor:
        if _kind(new, axis) != self._kind:
            raise ChangedError
        start, self.length = self.length, self.length + new.size(axis)
        if self.length > self._memory.size(axis):
            old = self._memory.narrow(axis, 0, start)
            self._memory = _room(new, axis, 2 * self.length)
            self._memory.narrow(axis, 0, start).copy_(old)
        self._memory.narrow(axis, start, new.size(axis)).copy_(new)
        return self._memory.narrow(axis, 0, self.length)

    @property
    def bytes_per_position(self) -> int:
        return self._memory.element_size() * self._memory.numel() // self._memory.size(self._axis)


def _kind(x: Tensor, axis: int) -> tuple[object, ...]:
    shape = list(x.shape)
    shape[axis] = -1
    return axis, x.dtype, shape


def _room(like: Tensor, axis: int, positions: int) -> Tensor:
    shape = list(like.shape)
    shape[axis] = positions
    return torch.empty(shape, dtype=like.dtype, device=like.device)
