"""Memory that grows along one axis, and may let go of what came first."""

from __future__ import annotations

import torch
from torch import Tensor


class Room:
    """Places along `axis` (negative); all of them, or the last `kept` before what is appended.

    Without `kept` its memory begins with `spare` places and doubles when it is full; with it, there is never
    more than kept + spare.
    """

    def __init__(self, axis: int, kept: int | None = None, *, spare: int) -> None:
        self._axis = axis
        self._spare = spare
        self._kept = kept
        self._memory: Tensor | None = None
        self._stop = 0

    def append(self, new: Tensor) -> Tensor:
        """Append `new`, and return it after what was kept; that is memory of the room, to be read only."""
        n = new.size(self._axis)
        if self._kept is not None and n > self._spare:
            return self._replace(torch.cat((self._before(new), new), dim=self._axis))
        memory = self._with_room_for(new, n)
        memory.narrow(self._axis, self._stop, n).copy_(new)
        self._stop += n
        start = 0 if self._kept is None else max(0, self._stop - n - self._kept)
        return memory.narrow(self._axis, start, self._stop - start)

    def held(self) -> Tensor | None:
        """Return the places that are filled, the last `kept` of them at most; None before the first."""
        if self._memory is None:
            return None
        start = 0 if self._kept is None else max(0, self._stop - self._kept)
        return self._memory.narrow(self._axis, start, self._stop - start)

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return 0 if self._memory is None else self._memory.nbytes

    def _replace(self, whole: Tensor) -> Tensor:
        assert self._kept is not None
        self._stop = min(self._kept, whole.size(self._axis))
        if self._memory is None:
            self._memory = self._of_size(whole, self._kept + self._spare)
        recent = whole.narrow(self._axis, whole.size(self._axis) - self._stop, self._stop)
        self._memory.narrow(self._axis, 0, self._stop).copy_(recent)
        return whole

    def _before(self, like: Tensor) -> Tensor:
        held = self.held()
        return like.narrow(self._axis, 0, 0) if held is None else held

    def _with_room_for(self, new: Tensor, n: int) -> Tensor:
        if self._memory is None:
            self._memory = self._of_size(
                new, max(self._spare, n) if self._kept is None else self._kept + self._spare
            )
        if self._stop + n > self._memory.size(self._axis):
            held = self._before(new)
            size = 2 * (self._stop + n) if self._kept is None else self._memory.size(self._axis)
            self._memory = self._of_size(new, size)
            self._stop = held.size(self._axis)
            self._memory.narrow(self._axis, 0, self._stop).copy_(held)
        return self._memory

    def _of_size(self, like: Tensor, size: int) -> Tensor:
        shape = list(like.shape)
        shape[self._axis] = size
        return torch.empty(shape, dtype=like.dtype, device=like.device)
