"""What a person sees of a run: a live leaderboard on a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from dataclasses import replace
from types import TracebackType
from typing import IO, Protocol, Self, cast

from rich.console import Console, ConsoleOptions, RenderResult
from rich.control import Control
from rich.live import Live
from rich.text import Text

from population import figures
from population.leaderboard import render, rows_within
from population.outlet import Outlet
from population.pen import Pen
from population.standings import Failure, Row, Standings

__all__ = ["Board", "LiveBoard", "PlainBoard", "board_for", "print_leaderboard", "render"]


class Board(Protocol):
    """Show a run; a context manager around the loop. Neither method ever fails a run."""

    def show(self, standings: Standings) -> None:
        """Take the standings of this moment; cheap enough to call on every turn of the loop."""

    def say(self, line: str) -> None:
        """Leave a line on the output for good."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class LiveBoard:
    """Redraw the leaderboard in place, four times a second; its last frame stays on the terminal."""

    def __init__(self, console: Console) -> None:
        console.file = cast(IO[str], Outlet(console.file))
        self._console = console
        self._latest: tuple[Standings, float] | None = None  # with the moment it was shown
        self._width = 0
        self._live = Live(self, console=console, refresh_per_second=4)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, standings: Standings) -> None:
        """Take the standings of this moment; the first are drawn at once, later ones with the next frame."""
        first = self._latest is None
        self._latest = standings, time.monotonic()
        if first:
            self._live.refresh()

    def say(self, line: str) -> None:
        """Leave a line above the leaderboard for good."""
        self._console.print(Text(Pen(self._console.encoding).spell(line)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = console.size
        if width < self._width:
            # the terminal has folded the frame it shows, which then cannot be counted back over
            console.control(Control.clear(), Control.home())
        self._width = width
        if self._latest is not None:
            standings, shown_at = self._latest
            standings = _later(standings, time.monotonic() - shown_at)
            yield render(standings, width, rows_within(standings, height))


def _later(standings: Standings, seconds: float) -> Standings:
    """Let the clocks of standings tick."""
    left = standings.seconds_left
    return replace(
        standings,
        seconds=standings.seconds + seconds,
        seconds_left=None if left is None else max(0.0, left - seconds),
        running=tuple(
            replace(trial, started_seconds_ago=trial.started_seconds_ago + seconds)
            for trial in standings.running
        ),
    )


class PlainBoard:
    """Write one line for every candidate at every rung, and for every failure, as they come."""

    def __init__(self, console: Console) -> None:
        self._pen = Pen(console.encoding)
        self._outlet = console.file = cast(IO[str], Outlet(console.file))
        self._written: set[tuple[str, str]] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._outlet.flush()

    def show(self, standings: Standings) -> None:
        """Write what is new since the last call."""
        for failure in standings.failures:
            self._once((failure.name, failure.kind), _failure_line(failure))
        for row in standings.rows:
            self._once((row.name, row.rung), _row_line(row))
        if standings.phase == "confirm" and standings.log:  # nothing moves on the leaderboard, for minutes
            self._once(("confirm", standings.log), standings.log)

    def say(self, line: str) -> None:
        """Write a line."""
        self._outlet.write(self._pen.spell(line) + "\n")
        self._outlet.flush()

    def _once(self, key: tuple[str, str], line: str) -> None:
        if key not in self._written:
            self._written.add(key)
            self.say(line)


def _row_line(row: Row) -> str:
    differences = {"Δparent": row.versus_parent, "Δseed": row.versus_seed}
    parts = [
        row.name,
        row.rung,
        figures.loss(row.loss),
        *(f"{name} {figures.delta(value, 4)}" for name, value in differences.items() if value is not None),
        figures.count(row.params),
        f"{figures.count(row.tokens_per_second)} tok/s",
        row.status,
    ]
    return "  ".join(parts)


def _failure_line(failure: Failure) -> str:
    return f"{failure.name}  {failure.kind}  {failure.reason}"


def board_for(console: Console) -> Board:
    """Return the live board for a terminal that can move its cursor, else the plain one."""
    return LiveBoard(console) if console.is_terminal and console.is_interactive else PlainBoard(console)


def print_leaderboard(standings: Standings, console: Console, rows: int = 10) -> None:
    """Print the leaderboard once, as the live board draws it."""
    console.print(render(standings, console.width, rows))
