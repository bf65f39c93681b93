"""What changes in the batches as training goes on. The parts are the modules of foundry/data/curricula."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.unsignedinteger]  # (tokens,), possibly mapped from a file larger than memory

CELL = 256  # tokens: the grain in which a text is put in order
COMPETENCE = 0.1  # the part of the text that is open at the start
OPENED = 0.5  # the part of training after which all of it is

_CELLS_AT_ONCE = 4096


class Curriculum:
    """Draw blocks of full length from the whole text, from the first update to the last."""

    def divide(self, progress: float, block_size: int) -> int:
        """Return into how many blocks each is cut, a divisor of block_size; `progress` runs from 0 to 1."""
        return 1

    def cells(self, progress: float) -> NDArray[np.int64] | None:
        """Return the numbers of the cells that blocks may start in, or None for anywhere."""
        return None


class EasiestFirst(Curriculum):
    """Open the text cell by cell, the easiest first, so that half-way through training all of it is open.

    The open part grows as the root of the progress: Platanios et al. 2019, "Competence-based Curriculum
    Learning".
    """

    def __init__(self, difficulty: NDArray[np.float64]) -> None:
        self.order = np.argsort(difficulty, kind="stable")

    def cells(self, progress: float) -> NDArray[np.int64] | None:
        """Return the easiest cells."""
        if progress >= OPENED or not len(self.order):
            return None
        share = np.sqrt(COMPETENCE**2 + (1 - COMPETENCE**2) * progress / OPENED)
        return self.order[: int(np.ceil(share * len(self.order)))]


def per_cell(tokens: Tokens, measure: Callable[[Tokens], NDArray[np.float64]]) -> NDArray[np.float64]:
    """Sum what `measure` gives for every token over each whole cell of a text: (len(tokens) // CELL,)."""
    whole = len(tokens) // CELL * CELL
    sums = [
        measure(tokens[i : min(i + _CELLS_AT_ONCE * CELL, whole)]).reshape(-1, CELL).sum(axis=1)
        for i in range(0, whole, _CELLS_AT_ONCE * CELL)
    ]
    return np.concatenate(sums) if sums else np.zeros(0)
