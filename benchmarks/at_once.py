"""What isolation costs a machine that is full: two trials at a time, beside two forks that do the same work.

    python -m benchmarks.at_once
    python -m benchmarks.at_once --part 1 --rounds 3

A search gives every core a trial, and then all that a trial starts takes time from another one. The forks are
those of benchmarks/isolation.py: they hold the data, and build, train, save and score by themselves. Printed
is, for each round, how many seconds its trials take in both ways, and in the end the median of the ratios.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.isolation import HERE, Trials, ended, like_a_server, work
from foundry.sandbox import level
from foundry.trial.job import Job, Limits
from foundry.trial.outcome import Scored
from foundry.trial.pool import Pool


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--trials", type=int, default=12, help="in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--part", type=int, default=9, help="train one part in so many of the budget")
    parser.add_argument("--foreign", action="store_true", help="others wrote the source")
    parser.add_argument("--sandbox", default=level.available()[-1], choices=level.available())
    parser.add_argument("--experiment", type=Path, default=HERE / "experiments" / "evolve.yaml")
    options = parser.parse_args()
    like_a_server("benchmarks.at_once")
    text = options.experiment.read_text("utf-8")
    trials = Trials(text, options.part, foreign=options.foreign)
    jobs = map(trials.job, range(1, 1 << 20))
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder, str(number)) for number in range(options.workers)]
        for place in places:
            place.mkdir()
        with Pool(
            options.workers,
            checkpoints=Path(folder, "pool"),
            limits=Limits(),
            preload=text,
            sandbox=options.sandbox,
        ) as pool:
            ended(pool, next(jobs))  # nobody waits for the server
            ways: dict[str, Callable[[], float]] = {
                "forks": lambda: forked(jobs, options.trials, trials, places),
                options.sandbox: lambda: pooled(jobs, options.trials, pool),
            }
            for number in range(options.rounds):
                names = sorted(ways, reverse=number % 2 == 0)  # each is first every second time
                taken = {name: ways[name]() for name in names}
                ratios.append(taken[options.sandbox] / taken["forks"])
                seconds = ", ".join(f"{name} {taken[name]:.2f} s" for name in ways)
                print(f"{seconds}, ratio {ratios[-1]:.3f}", flush=True)
    print(f"median of the ratios {statistics.median(ratios):.3f}")


def pooled(jobs: Iterator[Job], count: int, pool: Pool) -> float:
    """Return the seconds that so many trials take."""
    began = time.perf_counter()
    waiting, running = count, 0
    while waiting or running:
        while waiting and pool.free:
            pool.start(str(waiting), next(jobs))
            waiting, running = waiting - 1, running + 1
        for _, outcome in pool.finished(timeout=1.0):
            assert isinstance(outcome, Scored), outcome
            running -= 1
    return time.perf_counter() - began


def forked(jobs: Iterator[Job], count: int, trials: Trials, places: list[Path]) -> float:
    """Return the seconds that so many forks take, as many at a time as there are places to save in."""
    began = time.perf_counter()
    free, running = list(places), dict[int, Path]()
    for _ in range(count):
        if not free:
            free.append(_one_less(running))
        place, job = free.pop(), next(jobs)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                work(job, trials.held, place)
                code = 0
            finally:
                os._exit(code)
        running[pid] = place
    while running:
        _one_less(running)
    return time.perf_counter() - began


def _one_less(running: dict[int, Path]) -> Path:
    """Wait for one of these processes; return its place."""
    pid, status = os.wait()
    assert pid in running, "the pool's server has ended"
    assert status == 0, "a fork has failed"
    return running.pop(pid)


if __name__ == "__main__":
    main()
