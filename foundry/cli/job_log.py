"""Plain lines for whoever waits: one for each training that has ended."""

from __future__ import annotations

from rich.console import Console

from foundry.cli.paired import Side
from foundry.trial.job import Job
from foundry.trial.outcome import Outcome
from population import figures
from population.search import describe


class JobLog:
    """Counts the jobs of a comparison and prints what became of each."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._ended = 0

    def print(self, side: Side, job: Job, outcome: Outcome) -> None:
        """Print the next line."""
        self._ended += 1
        at = f" at {figures.count(job.until)} tokens" if job.until < job.budget else ""
        line = f"{self._ended}/{self._total}  {side.name}  seed {job.seed}{at}  {describe(outcome)}"
        say(self._console, line)


def say(console: Console, words: str) -> None:
    """Print words as they are: no colours for figures, no markup, no line breaks within a path or command."""
    console.print(words, highlight=False, markup=False, soft_wrap=True)
