"""`python -m benchmarks.search.real`: all methods with real trainings, their best confirmed with fresh seeds.

    python -m benchmarks.search.real

Trains what FILE does not hold yet, then prints the table and draws the curves beside FILE. One method with
one seed is a piece, of about a minute; after each FILE is written anew, so a command that was killed goes on
after its last piece. A piece is the search to the end of its budget, then fresh trainings, scored on
`val_confirm`, of every program that it would have handed over on the way: as many for each, charged to
nobody.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.search.make_table import processor
from benchmarks.search.real_report import draw, report
from benchmarks.search.trained import Bench, Program, improvements
from benchmarks.search.trained_methods import METHODS, SETTINGS, plan
from foundry.cli.run import Plan
from foundry.errors import UserError
from foundry.trial.job import Job
from foundry.trial.outcome import Scored
from operators import Source
from population.settings import Settings

FILE = Path(__file__).with_name("real.json")
SEEDS = 5
ABLATED = 3  # seeds of the ablations, whose names are indented: the table has their repetitions
BUDGET = 16  # full trainings of the seed model
CONFIRMED = (900_001, 900_002, 900_003)  # fresh seeds, the same for every program
PACKAGES = ("torch", "numpy", "optuna", "libcst", "scipy")
CODE = ("evolve.py", "foundry", "genome", "operators", "population", "benchmarks/search")


def main() -> None:
    """Train what is missing, print, draw."""
    parser = argparse.ArgumentParser(description="Compare searches with real trainings.")
    parser.add_argument("--out", type=Path, default=FILE, metavar="FILE")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--budget", type=float, default=BUDGET, help="full trainings of the seed model")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), metavar="NAME", help="only these")
    options = parser.parse_args()
    body = resume(options.out, head(options.budget))
    with tempfile.TemporaryDirectory() as folder, closing(Bench(any_plan(), Path(folder))) as bench:
        if not body["confirmed"]:
            confirm(body, any_plan(), [seed_model()], bench)
        for method, seed in missing(body, options.methods, options.seeds):
            began = time.monotonic()
            add(body, method, seed, bench)
            save(options.out, body)
            piece = body["pieces"][-1]
            losses = body["confirmed"][piece["steps"][-1]["program"]]["losses"]
            took = f"{piece['seconds']:.0f} s of CPU, {time.monotonic() - began:.0f} s in all"
            print(f"{method.strip()}, seed {seed}: {losses}, {took}", flush=True)
    print(report(body))
    draw(options.out.with_suffix(".svg"), body)


def missing(body: dict[str, Any], methods: Iterable[str], seeds: int) -> list[tuple[str, int]]:
    """List the pieces that are still to be made: seed after seed, the ablations at the end."""
    done = {(piece["method"], piece["seed"]) for piece in body["pieces"]}
    whole = [(name, seed) for seed in range(seeds) for name in methods if not name.startswith(" ")]
    ablations = [
        (name, seed) for seed in range(min(seeds, ABLATED)) for name in methods if name.startswith(" ")
    ]
    return [piece for piece in whole + ablations if piece not in done]


def add(body: dict[str, Any], method: str, seed: int, bench: Bench) -> None:
    """Make one piece, confirm what it handed over, and put both into the body."""
    made = plan(method, seed, round(body["made"]["budget"] * full_flops(body)))
    bench.clean()
    steps = METHODS[method](made, bench)
    bench.clean()
    changes = list(improvements(steps))
    confirm(body, made, [step.program for step in changes], bench)
    body["pieces"].append(
        {
            "method": method,
            "seed": seed,
            "code_sha256": code(),
            "processor": processor(),
            "optuna": version("optuna"),
            "trials": len(steps),
            "flops": steps[-1].flops,
            "seconds": round(steps[-1].seconds, 2),
            "steps": [
                {"flops": step.flops, "seconds": round(step.seconds, 2), "program": step.program.key}
                for step in changes
            ],
        }
    )


def full_flops(body: dict[str, Any]) -> int:
    """Return the FLOPs of a full training of the seed model, known from its confirmation."""
    return int(body["confirmed"][body["base"]]["flops"])


def confirm(body: dict[str, Any], made: Plan, programs: list[Program], bench: Bench) -> None:
    """Train programs not known yet with fresh seeds, and score them on text that no search has seen.

    The seed model comes first of all: what a full training is for the others is counted on it.
    """
    confirmed = body["confirmed"]
    for program in programs:
        if program.key in confirmed:
            continue
        scores = [bench.finish(job(made, program, seed, body)) for seed in CONFIRMED]
        scored = [score for score in scores if isinstance(score, Scored)]
        confirmed[program.key] = {
            "losses": [round(s.loss, 6) if isinstance(s, Scored) else None for s in scores],
            "flops": max((score.train_flops for score in scored), default=0),
            "params": max((score.params for score in scored), default=0),
            "edits": program.words,
        }


def job(made: Plan, program: Program, seed: int, body: dict[str, Any]) -> Job:
    """Order one training of a confirmation."""
    tokens = made.search.tokens
    amount, unit = (full_flops(body), "flops") if body["confirmed"] else (tokens, "tokens")
    return Job(
        model=program.source.model,
        experiment=program.source.experiment,
        data=made.data,
        seed=seed,
        until=amount,
        budget=amount,
        unit=unit,
        split="val_confirm",
        gated=False,
    )


def head(budget: float) -> dict[str, Any]:
    """Say what the numbers depend on, and where they were made."""
    made = any_plan()
    return {
        "budget": budget,
        "confirmed_with": list(CONFIRMED),
        "experiment_sha256": hashlib.sha256(made.experiment.encode()).hexdigest(),
        "model_sha256": hashlib.sha256(made.model.encode()).hexdigest(),
        "data": made.dataset,
        "data_sha256": made.data,
        "operators": len(made.operators),
        "packages": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": 1,
    }


def code() -> str:
    """Hash the code that a piece is made by."""
    root = Path(__file__).parents[2]
    digest = hashlib.sha256()
    for name in CODE:
        for path in sorted((root / name).rglob("*.py")) or [root / name]:
            digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def any_plan() -> Plan:
    """Return a plan for what all have in common: model, experiment, data and limits."""
    return plan(next(iter(SETTINGS)), 0, 0)


def seed_model() -> Program:
    """Return what all begin with."""
    start = any_plan()
    return Program(Source(start.model, start.experiment), ())


def resume(path: Path, made: dict[str, Any]) -> dict[str, Any]:
    """Read what is there, or begin.

    Raises:
        UserError: what is there was made with another model, data, budget or confirmation.
    """
    if not path.exists():
        base = seed_model().key
        return {"made": made, "settings": _settings(), "base": base, "confirmed": {}, "pieces": []}
    body: dict[str, Any] = json.loads(path.read_text())
    for name in ("budget", "experiment_sha256", "model_sha256", "data_sha256", "confirmed_with"):
        if body["made"][name] != made[name]:
            raise UserError(f"{path} was made with another {name}: give another --out")
    return body


def _settings() -> dict[str, Any]:
    """Return what each method changes of the default settings, and those."""
    default = {name: value for name, value in vars(Settings(tokens=1)).items() if name != "tokens"}
    return {"default": default, **{name.strip(): dict(own) for name, own in SETTINGS.items()}}


def save(path: Path, body: dict[str, Any]) -> None:
    """Write all of it, so that a reader finds the old or the new."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(body, indent=1) + "\n")
    part.replace(path)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
