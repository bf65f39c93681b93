"""The table of the best candidates: words give way first (with …), then whole columns, the numbers never."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len

from population import figures
from population.pen import Pen
from population.standings import Row

_WIDE = 104  # from here on: four decimals, two spaces between columns, the Pareto front
_WITH_WHOLE_BRANCH = 132
_BRANCH = 36
_FEWEST_WORDS = 8
_STATUS_STYLES = {"champion": "bold green", "incumbent": "green", "seed": "cyan", "promoted": "blue"}

Piece = tuple[str, str]  # text and style


@dataclass(frozen=True)
class Column:
    """One column of the table; `words` ones shrink, the others are as wide as their widest cell."""

    title: str
    cells: Sequence[Piece]
    right: bool = False
    words: bool = False
    width: int = 0

    def natural(self) -> int:
        """Return the width of the widest cell."""
        return max(cell_len(text) for text, _ in [(self.title, ""), *self.cells])


def table(rows: Sequence[Row], width: int, pen: Pen) -> Iterator[list[Piece]]:
    """Lay out candidates line by line, titles first, each line exactly as wide as asked where it can be."""
    if not rows:
        yield [(pen.elide("no candidate has a score yet", width), "dim")]
        return
    gutter = " " * (2 if width >= _WIDE else 1)
    columns = _fitted(_columns(rows, width, pen), width, len(gutter))
    for index in range(-1, len(rows)):
        pieces: list[Piece] = []
        for column in columns:
            text, style = (column.title, "dim") if index < 0 else column.cells[index]
            pieces += [(pen.fill(text, column.width, right=column.right), style), (gutter, "")]
        yield pieces[:-1]


def _columns(rows: Sequence[Row], width: int, pen: Pen) -> list[Column]:
    """Lay out the cells, in the order in which they are read."""
    wide = width >= _WIDE
    decimals = 4 if wide else 3

    def column(title: str, cells: Sequence[Piece], *, right: bool = False, words: bool = False) -> Column:
        return Column(pen.spell(title), [(pen.spell(text), style) for text, style in cells], right, words)

    versus_parent = [_difference(row.versus_parent, row, decimals) for row in rows]
    versus_seed = [_difference(row.versus_seed, row, decimals) for row in rows]
    columns = [
        column("#", [(f"{row.rank}", "dim") for row in rows], right=True),
        column("branch", [(_branch(row.name, width, pen), "") for row in rows]),
        column("edit", [(row.words, _STATUS_STYLES.get(row.status, "")) for row in rows], words=True),
        column("at", [(row.rung, "dim") for row in rows]),
        column("loss ±", [(_score(row, decimals), "bold") for row in rows]),
        column("Δparent" if wide else "Δpar", versus_parent, right=True),
        column("Δseed", versus_seed, right=True),
        column("params" if wide else "size", [(figures.count(row.params), "") for row in rows], right=True),
        column("tok/s", [(figures.count(row.tokens_per_second), "") for row in rows], right=True),
        column("status", [(row.status, _STATUS_STYLES.get(row.status, "dim")) for row in rows]),
    ]
    if wide and any(row.pareto for row in rows):
        columns.append(column("front", [("◆" if row.pareto else "", "magenta") for row in rows]))
    return columns


def _branch(name: str, width: int, pen: Pen) -> str:
    """Name a branch so that tab completion finds it; in full where there is room."""
    if width < _WITH_WHOLE_BRANCH:
        return pen.elide(short_name(name), _BRANCH // 3)
    return pen.fill(name, _BRANCH)


def short_name(name: str) -> str:
    """Return the part of a branch's name that is its own: g003-0042 of g003-0042-swap-activation-relu2."""
    return "-".join(name.split("-")[:2])


def _score(row: Row, decimals: int) -> str:
    """Write a loss with its noise, which loses its leading zero where room is short."""
    loss = figures.loss(row.loss)
    if row.sigma is None:
        return loss
    noise = f"{row.sigma:.{decimals}f}" if row.sigma < 100 else f"{row.sigma:.0e}"
    return f"{loss}±{noise if decimals == 4 else noise.removeprefix('0')}"


def _difference(value: float | None, row: Row, decimals: int) -> Piece:
    """Colour a difference only where it is larger than one score's noise."""
    if value is None:
        return "", ""
    beyond_noise = row.sigma is not None and abs(value) > row.sigma
    return figures.delta(value, decimals), ("green" if value < 0 else "red") if beyond_noise else ""


def _fitted(columns: list[Column], width: int, gutter: int) -> list[Column]:
    """Give words what the numbers leave; where that is next to nothing, let the last column go."""
    while True:
        fixed = sum(column.natural() for column in columns if not column.words) + gutter * (len(columns) - 1)
        if width - fixed >= _FEWEST_WORDS or len(columns) == 1:
            break
        columns = columns[:-1]
    return [replace(column, width=width - fixed if column.words else column.natural()) for column in columns]
