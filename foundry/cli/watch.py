"""The clocks of a run, which nothing is decided by, and what its board shows."""

from __future__ import annotations

import time

from foundry.cli.clock import Clock
from foundry.cli.nursery import Nursery
from foundry.cli.run import Run
from foundry.trial.outcome import Outcome
from population.board import Board
from population.search import Order, Search, describe
from population.view import Progress, rung_name, standings


class Watch:
    """Notes when trials begin and end, and keeps the board up to date."""

    def __init__(
        self,
        run: Run,
        path: str,
        sandbox: str,
        search: Search,
        nursery: Nursery,
        clock: Clock,
        board: Board,
    ) -> None:
        self._run, self._path, self._search, self._nursery, self._board = run, path, search, nursery, board
        self._clock, self._sandbox = clock, sandbox
        self._since: dict[int, float] = {}
        self._log = "starting the trial server: it imports torch"

    def started(self, order: int) -> None:
        """Note that a trial has begun."""
        self._since[order] = time.monotonic()

    def ended(self, order: Order, outcome: Outcome) -> None:
        """Note that a trial has ended, and how."""
        del self._since[order.index]
        name, rung = self._nursery.family[order.number].name, rung_name(self._search, order.rung)
        self._log = f"{name}  {rung}  seed {order.seed}  {order.split} {describe(outcome)}"
        self.show()

    def show(self) -> None:
        """Bring the board up to date."""
        now = time.monotonic()
        progress = Progress(
            seconds=self._clock.seconds,
            running={order: now - since for order, since in self._since.items()},
            log=self._log,
            sandbox=self._sandbox,
        )
        plan, family = self._run.plan, self._nursery.family
        self._board.show(
            standings(self._search, family, arena=self._path, dataset=plan.dataset, progress=progress)
        )
