"""`foundry compare A.yaml B.yaml`: is B better than A, over paired seeds, and by how much?"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from foundry.cli.edge import guarded
from foundry.cli.prepared import prepare, read_text
from foundry.errors import UserError
from foundry.trial.job import Job
from foundry.trial.outcome import Outcome, Scored
from foundry.trial.pool import Pool
from population import figures
from population.search import describe
from population.statistics import Comparison, compare, sigma, two_sided

LEVEL = 0.05
SPLIT = "val_confirm"


@dataclass(frozen=True)
class Side:
    """One experiment of the two: its name, what a trial needs, and its scores by seed."""

    name: str
    jobs: tuple[Job, ...]
    scores: tuple[Scored, ...] = ()

    @property
    def losses(self) -> list[float]:
        """Validation losses in nats per token, by seed."""
        return [score.loss for score in self.scores]


def main(argv: Sequence[str] | None = None) -> int:
    """Train both with the same seeds and print whether the difference is real."""
    parser = argparse.ArgumentParser(
        prog="foundry compare", description="Train two experiments and compare them."
    )
    parser.add_argument("a", metavar="A", help="the baseline, a YAML file")
    parser.add_argument("b", metavar="B", help="what may be better")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="trainings of each (default: 5)")
    parser.add_argument("--workers", type=int, metavar="N", help="trainings at once (default: one per core)")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(argv)
    return guarded(lambda: _compare(options, Console()), name="foundry compare", debug=options.debug)


def _compare(options: argparse.Namespace, console: Console) -> int:
    if options.seeds < 2:
        raise UserError("a comparison needs at least 2 seeds")
    sides = [_side(path, options.seeds) for path in (options.a, options.b)]
    if sides[0].jobs[0].data != sides[1].jobs[0].data:
        raise UserError("the two are on different data: their losses cannot be compared")
    a, b = _trained(sides, options.workers or os.cpu_count() or 1, Console(stderr=True))
    result, p_value = compare(b.losses, a.losses), two_sided(b.losses, a.losses)
    if options.json:
        print(json.dumps(_as_json(a, b, result, p_value), indent=2))
    else:
        console.print(_table(a, b))
        console.print(_verdict(b.name, result, p_value), highlight=False, markup=False)
    return 0


def _side(path: str, seeds: int) -> Side:
    ready = prepare(read_text(path), path)
    tokens = ready.experiment.training.max_iters * ready.experiment.tokens_per_step
    jobs = (
        Job(
            model=ready.model,
            experiment=ready.text,
            data=ready.dataset.sha256,
            seed=seed,
            tokens=tokens,
            budget=tokens,
            split=SPLIT,
        )
        for seed in range(seeds)
    )
    return Side(ready.experiment.name, tuple(jobs))


def _trained(sides: Sequence[Side], workers: int, log: Console) -> list[Side]:
    """Run the jobs of both sides in turns, so that neither has the quieter machine."""
    waiting = [
        (f"{i}/{job.seed}", job)
        for pair in zip(*(s.jobs for s in sides), strict=True)
        for i, job in enumerate(pair)
    ]
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory() as folder, Pool(workers, checkpoints=Path(folder)) as pool:
        total = len(waiting)
        while len(outcomes) < total:
            while waiting and pool.free:
                pool.start(*waiting.pop(0))
            for name, outcome in pool.finished(timeout=1.0):
                outcomes[name] = outcome
                side, _, seed = name.partition("/")
                words = f"{sides[int(side)].name}  seed {seed}  {describe(outcome)}"
                log.print(f"{len(outcomes)}/{total}  {words}", highlight=False, markup=False)
                if not isinstance(outcome, Scored):
                    raise UserError(
                        f"{sides[int(side)].name} cannot be compared: seed {seed} {describe(outcome)}"
                    )
    scored = [tuple(outcomes[f"{i}/{job.seed}"] for job in side.jobs) for i, side in enumerate(sides)]
    return [
        Side(s.name, s.jobs, tuple(o for o in of if isinstance(o, Scored)))
        for s, of in zip(sides, scored, strict=True)
    ]


def _facts(side: Side) -> dict[str, float]:
    n = len(side.scores)
    loss = math.fsum(side.losses) / n
    return {
        "loss": loss,
        "sigma": sigma(side.losses),
        "perplexity": math.exp(loss),
        "bits_per_byte": math.fsum(score.bits_per_byte for score in side.scores) / n,
        "tokens_per_second": sorted(score.tokens_per_second for score in side.scores)[n // 2],
        "params": side.scores[0].params,
        "train_flops": side.scores[0].train_flops,
    }


def _table(a: Side, b: Side) -> Table:
    table = Table(box=None, padding=(0, 1))
    table.add_column("experiment", no_wrap=True, overflow="ellipsis", max_width=24)
    for column in ("loss", "σ", "perplexity", "bpb", "tok/s", "params"):
        table.add_column(column, justify="right", no_wrap=True)
    for side in (a, b):
        facts = _facts(side)
        table.add_row(
            side.name,
            f"{facts['loss']:.4f}",
            f"{facts['sigma']:.4f}",
            f"{facts['perplexity']:.3f}",
            f"{facts['bits_per_byte']:.4f}",
            figures.count(facts["tokens_per_second"]),
            figures.count(facts["params"]),
        )
    return table


def _verdict(name: str, result: Comparison, p_value: float) -> str:
    interval = (
        f"{result.mean_difference:+.4f} nats per token, 95% interval {result.low:+.4f} to {result.high:+.4f}"
    )
    evidence = f"{interval}, p = {p_value:.3f} over {result.n} paired seeds."
    if p_value > LEVEL:
        return f"No difference beyond noise: {evidence}"
    return f"{name} is {'better' if result.mean_difference < 0 else 'worse'}: {evidence}"


def _as_json(a: Side, b: Side, result: Comparison, p_value: float) -> dict[str, object]:
    return {
        "split": SPLIT,
        "data": a.jobs[0].data,
        "a": {"name": a.name, "losses": a.losses, **_facts(a)},
        "b": {"name": b.name, "losses": b.losses, **_facts(b)},
        "difference": {**vars(result), "p_value_two_sided": p_value},
    }
