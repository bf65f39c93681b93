"""The picture of a run: header, best candidates, log, what runs now. Made for 80 columns, at ease in 120.

Every line is laid out in whole cells before it is drawn, so nothing wraps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from population import figures
from population.pen import Pen
from population.standings import Running, Standings
from population.table import Piece, short_name, table

_WIDEST = 150  # beyond it, lines are hard to follow
_MOST_RUNNING = 4
_LINES_BESIDE_ROWS = 11  # header 5, blank 3, column titles, log, and the line where the cursor rests
_PHASES = {
    "base": "measuring the base",
    "search": "searching",
    "confirm": "confirming",
    "ablate": "ablating the champion",
    "test": "opening the test split",
    "done": "done",
}


@dataclass(frozen=True)
class Leaderboard:
    """Draw standings; a rich renderable. Without any escape sequence where the console has no colour."""

    standings: Standings
    width: int
    rows: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for pieces in _lines(self.standings, min(self.width, _WIDEST), self.rows, Pen(options.encoding)):
            line = Text.assemble(*pieces, no_wrap=True, overflow="crop")
            line.rstrip()
            line.truncate(self.width, overflow="crop")
            yield Text(line.plain, no_wrap=True, overflow="crop") if console.no_color else line


def render(standings: Standings, width: int, rows: int = 10) -> Leaderboard:
    """Picture standings within a width in cells, with this many candidates at most."""
    return Leaderboard(standings, width, rows)


def rows_within(standings: Standings, height: int, most: int = 10) -> int:
    """Return how many candidates fit a terminal of this height, beside everything else."""
    running = min(len(standings.running), _MOST_RUNNING)
    return max(1, min(most, height - _LINES_BESIDE_ROWS - running))


def _lines(standings: Standings, width: int, rows: int, pen: Pen) -> Iterator[list[Piece]]:
    yield _title(standings, width, pen)
    yield _progress(standings, width, pen)
    yield _counts(standings, width, pen)
    yield _labelled([("rejected", _tally(standings.rejected))], width, pen)
    yield _spent(standings, width, pen)
    yield []
    yield from table(standings.rows[:rows], width, pen)
    if standings.log:
        yield []
        yield [(pen.elide(standings.log, width), "italic")]
    if standings.running:
        yield []
    yield from _running(standings.running, width, pen)


def _title(standings: Standings, width: int, pen: Pen) -> list[Piece]:
    phase = _PHASES.get(standings.phase, standings.phase)
    generation = _of(standings.generation, standings.generations, " of ")
    left = pen.elide(f"Foundry  {phase}, generation {generation}", width)
    room = width - cell_len(left) - 2
    right = pen.elide(f"{standings.dataset} · {standings.arena}", room) if room > 8 else ""
    gap = " " * (width - cell_len(left) - cell_len(right))
    return [(left[:7], "bold"), (left[7:] + gap, ""), (right, "dim")]


def _progress(standings: Standings, width: int, pen: Pen) -> list[Piece]:
    done = int(standings.share * width)
    return [(pen.spell("━" * done), "green"), (pen.spell("─" * (width - done)), "dim")]


def _counts(standings: Standings, width: int, pen: Pen) -> list[Piece]:
    parts = [
        ("births", _of(standings.births, standings.births_planned, "/")),
        ("evaluated", f"{standings.evaluated}"),
        ("duplicates", f"{standings.duplicates}"),
        ("failed", _tally(standings.failed)),
    ]
    return _labelled(parts, width, pen)


def _spent(standings: Standings, width: int, pen: Pen) -> list[Piece]:
    tokens, flops = figures.count(standings.tokens_spent), figures.count(standings.flops_spent, " ")
    parts = [("spent", f"{tokens} tokens, {flops}FLOP"), ("elapsed", figures.duration(standings.seconds))]
    if standings.phase != "done":
        left = standings.seconds_left
        parts.append(("left", "unknown" if left is None else f"about {figures.duration(left)}"))
    parts.append(("sandbox", standings.sandbox))
    return _labelled(parts, width, pen)


def _of(number: int, planned: int | None, between: str) -> str:
    """Write a number, and of how many it is where that is known."""
    return f"{number}" if planned is None else f"{number}{between}{planned}"


def _tally(counts: Mapping[str, int]) -> str:
    """Write a total and what it is made of, the most frequent first."""
    order = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    detail = ", ".join(f"{name} {number}" for name, number in order if number)
    return f"{sum(counts.values())} ({detail})" if detail else "0"


def _labelled(parts: Sequence[tuple[str, str]], width: int, pen: Pen) -> list[Piece]:
    """Set `label value` pairs in one line, as far as it reaches."""
    pieces: list[Piece] = []
    room = width
    for label, value in parts:
        for text, style in (("  " if pieces else "", ""), (f"{label} ", "dim"), (value, "")):
            text = pen.elide(text, room) if text.strip() else text[:room]
            pieces.append((text, style))
            room -= cell_len(text)
    return pieces


def _running(running: Sequence[Running], width: int, pen: Pen) -> Iterator[list[Piece]]:
    shown = running if len(running) <= _MOST_RUNNING else running[: _MOST_RUNNING - 1]
    for trial in shown:
        facts = f"  {trial.rung}  seed {trial.seed}  {figures.duration(trial.started_seconds_ago):>6}"
        room = max(0, width - cell_len(pen.spell(facts)))
        name = pen.elide(f"▸ {short_name(trial.name)} ", room)
        words = pen.fill(trial.words, room - cell_len(name))
        yield [(name, "cyan"), (words, ""), (pen.elide(facts, width - cell_len(name + words)), "dim")]
    if len(shown) < len(running):
        yield [(pen.elide(f"  and {len(running) - len(shown)} more", width), "dim")]
