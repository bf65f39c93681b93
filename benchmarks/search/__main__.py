"""`python -m benchmarks.search`: all methods over the table, a hundred times each.

For every method, how many FLOPs it takes until the point that it would hand over has a share of the gain that
is there to be had, by the mean of four seeds on a split that no search sees; medians over the repetitions.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence

from benchmarks.search.methods import METHODS, Method
from benchmarks.search.replayed import Step, confirmed
from benchmarks.search.space import BASE, Point, Table, architecture, architectures

SHARES = (0.5, 0.75, 0.9, 0.95)  # of the gain of the best point on the base
TRAININGS = 60  # of the base: what each method may spend


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Compare searches over the table of real trainings.")
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), metavar="NAME", help="only these")
    options = parser.parse_args()
    for line in report(Table.load(), options.methods, options.repetitions):
        print(line, flush=True)


def report(table: Table, methods: Iterable[str], repetitions: int) -> Iterator[str]:
    """Yield the lines of a Markdown table: FLOPs in full trainings of the base."""
    losses = {point: confirmed(table, point) for point in architectures()}
    base, best = losses[BASE], min(losses.values())
    full = table.flops(BASE, len(table.steps) - 1)
    targets = [base - share * (base - best) for share in SHARES]
    title = " | ".join(f"to {share:.0%} of the gain" for share in SHARES)
    yield from (f"| method | {title} | gain after {TRAININGS} |", f"|---|{'--:|' * (len(SHARES) + 1)}")
    for name in methods:
        runs = [curve(METHODS[name], table, full, losses, repetition) for repetition in range(repetitions)]
        costs = [statistics.median(_cost(run, target) for run in runs) for target in targets]
        gain = statistics.fmean((base - run[-1][1]) / (base - best) for run in runs)
        cells = " | ".join("-" if math.isinf(cost) else f"{cost:.1f}" for cost in costs)
        yield f"| {name} | {cells} | {gain:.1%} |"


def curve(
    method: Method, table: Table, full: int, losses: dict[Point, float], repetition: int
) -> list[tuple[float, float]]:
    """Return a run as (FLOPs in full trainings of the base, confirmed loss of what it would hand over)."""
    steps: list[Step] = list(method(table, TRAININGS * full, repetition))
    return [(step.flops / full, losses[architecture(step.point)]) for step in steps]


def _cost(run: Sequence[tuple[float, float]], target: float) -> float:
    """Return where a run comes to a loss and stays there; infinite where it never does."""
    reached = math.inf
    for spent, loss in run:
        if loss > target:
            reached = math.inf
        elif math.isinf(reached):
            reached = spent
    return reached


if __name__ == "__main__":
    main()
