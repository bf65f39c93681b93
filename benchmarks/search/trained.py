"""Searches with real trainings: what they have spent after each trial, and what they would hand over.

Whoever searches with `population/` runs evolve.py's own loop; whoever does not has `Trainer`, and the same
accountant charges both. Seconds are of CPU, of the trials and of the driver, as Linux counts them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.search.replayed import handed_over
from evolve import evolve
from foundry.cli.clock import Clock
from foundry.cli.crossing import source_of
from foundry.cli.nursery import Nursery
from foundry.cli.record import Record
from foundry.cli.reduction import edits_of
from foundry.cli.run import Plan, begin
from foundry.cli.watch import Watch
from foundry.trial.job import SCRATCH, Job, Limits
from foundry.trial.outcome import Outcome, Scored
from foundry.trial.pool import Pool
from operators import Source
from population import replay
from population.orders import Birth, Order
from population.search import Search
from population.settings import SEED_MODEL
from population.spending import Spending


@dataclass(frozen=True)
class Program:
    """What a search may hand over."""

    source: Source
    words: tuple[str, ...]  # the edits that made it

    @property
    def key(self) -> str:
        """Identify it by its text."""
        text = f"{self.source.model}\0{self.source.experiment}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Step:
    """A moment of a search."""

    flops: int
    seconds: float
    program: Program  # what it would hand over now


class Bench(Pool):
    """A pool of one worker, for one search after the other, each of which finds it clean."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.checkpoints = folder
        limits = Limits(seconds=plan.trial_seconds, memory=plan.trial_memory)
        # "process", so that the trials can be seen in /proc
        super().__init__(1, checkpoints=folder, limits=limits, preload=plan.experiment, sandbox="process")

    def clean(self) -> None:
        """Forget all weights, and what programs have computed."""
        for folder in self.checkpoints.iterdir():
            if folder.name != SCRATCH:  # which the server works in
                shutil.rmtree(folder)

    def finish(self, job: Job) -> Outcome:
        """Run one job and wait for it."""
        self.start("job", job)
        while True:
            for _, outcome in self.finished(timeout=0.25):
                return outcome


Method = Callable[[Plan, Bench], list[Step]]  # the plan has seed and budget


class Stopwatch:
    """Counts the CPU seconds of this process and of the pool's, by what Linux says in /proc."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._before = self._read()

    def seconds(self) -> float:
        """Return the seconds since the beginning."""
        return self._read() - self._before

    def _read(self) -> float:
        """Add up this process, and those below the pool's server with all that they have waited for."""
        facts = dict(_processes())
        below = [self._pool.server_pid]
        for pid in below:  # grows as it goes
            below += [child for child, (parent, _) in facts.items() if parent == pid]
        return time.process_time() + sum(facts[pid][1] for pid in below) / os.sysconf("SC_CLK_TCK")


def _processes() -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield each process with its parent and its ticks."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(FileNotFoundError, ProcessLookupError):
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                yield int(entry.name), (int(stat[1]), sum(map(int, stat[11:15])))


class Trace(Watch):
    """Notes after each trial of the loop what is spent and who is best."""

    def __init__(self, search: Search, nursery: Nursery, stopwatch: Stopwatch) -> None:
        self._search, self._nursery, self._stopwatch = search, nursery, stopwatch
        self.moments: list[tuple[int, float, int]] = []  # FLOPs, seconds, number of the candidate

    def started(self, order: int) -> None:
        """Note nothing."""

    def ended(self, order: Order, outcome: Outcome) -> None:
        """Note where the search stands."""
        flops = self._search.archive.spending.total.flops
        self.moments.append((flops, self._stopwatch.seconds(), handed_over(self._search)))

    def show(self) -> None:
        """Show nothing."""


def searched(plan: Plan, bench: Bench) -> list[Step]:
    """Run evolve.py's loop to the end of the plan's budget, in an arena that is dropped afterwards."""
    with tempfile.TemporaryDirectory() as folder, closing(begin(folder, plan)) as run:
        search = replay.resumed(plan.search, plan.menu, run.ledger)
        nursery = Nursery(run.arena, run.ledger, run.seed, plan)
        record = Record(run.arena, run.ledger, search, plan, bench.sandbox)
        record.checkpoints = bench.checkpoints
        trace = Trace(search, nursery, Stopwatch(bench))
        evolve(search, nursery, bench, record, Clock(search, run.ledger, 1), trace)
        programs = {}
        for number in {number for _, _, number in trace.moments}:
            candidate = nursery.family[number]
            words = tuple(step.words for step in edits_of(run.arena, candidate))
            programs[number] = Program(source_of(run.arena, candidate), words)
        return [Step(flops, seconds, programs[number]) for flops, seconds, number in trace.moments]


class Trainer:
    """Trains programs for a method that brings its own loop, and charges them as a search is charged."""

    def __init__(self, plan: Plan, bench: Bench) -> None:
        self._plan, self._bench = plan, bench
        self._spending = Spending(plan.search)
        self._stopwatch = Stopwatch(bench)
        self._orders = 0
        self._best: tuple[float, Program] | None = None

    @property
    def exhausted(self) -> bool:
        """Whether the budget is spent."""
        return self._spending.total.flops >= (self._plan.search.budget or 0)

    def step(self) -> Step:
        """Say where the method stands."""
        assert self._best is not None
        return Step(self._spending.total.flops, self._stopwatch.seconds(), self._best[1])

    def train(self, number: int, program: Program, rung: int) -> float | None:
        """Return the loss of a program at a rung; None where the trial failed."""
        settings = self._plan.search
        gated = rung == 0 and number != SEED_MODEL
        birth = Birth(number=number, generation=0, parent=SEED_MODEL) if gated else None
        order = Order(index=self._orders, number=number, rung=rung, seed=settings.seed, birth=birth)
        self._orders += 1
        until, budget, unit = self._spending.until(rung)
        self._spending.expect(order)
        outcome = self._bench.finish(
            Job(
                model=program.source.model,
                experiment=program.source.experiment,
                data=self._plan.data,
                seed=order.seed,
                until=until,
                budget=budget,
                unit=unit,
                gated=rung == 0,
            )
        )
        twin = isinstance(outcome, Scored) and outcome.recalled
        self._spending.settle(order, outcome, twin)
        if not isinstance(outcome, Scored):
            return None
        if rung == settings.top and (self._best is None or outcome.loss < self._best[0]):
            self._best = outcome.loss, program
        return outcome.loss


def improvements(steps: list[Step]) -> Iterator[Step]:
    """Yield the steps at which what would be handed over changes."""
    previous = ""
    for step in steps:
        if step.program.key != previous:
            yield step
        previous = step.program.key
