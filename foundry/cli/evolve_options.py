"""The command line of evolve.py."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foundry.cli.budget import amount
from foundry.cli.pool_options import whole_number
from foundry.cli.run import Plan, Run, plan_run, take_up
from foundry.cli.sandbox import add_sandbox_options
from foundry.errors import UserError
from population import samplers, selection
from population.archive import OBJECTIVES
from population.settings import UNITS

ARENA = "runs/evolve"
SEARCH = (
    "generations",
    "population",
    "tokens",
    "seed",
    "policy",
    "objectives",
    "sampler",
    "islands",
    "unit",
    "finalists",
    "lag",
)
LIMITS = ("trial_seconds", "trial_memory")
BOUNDS = {"max_params": "params", "max_kv_bytes": "kv_bytes_per_token"}  # fields of what a model costs
NAMED = ("seed_model", "init_from", "experiment", "dataset", "operators", "inherit", "budget", *BOUNDS)
EXTENDS = ("generations",)  # what --resume may change

_Options = tuple[tuple[str, Callable[[str], Any], str, str], ...]


def plan(options: argparse.Namespace, home: Path) -> Plan:
    """Read what a new run is to do; `home` is where experiments/ lies."""
    chosen = {name: value for name in (*SEARCH, *LIMITS) if (value := getattr(options, name)) is not None}
    if options.inherit:
        chosen["inherit"] = True
    if options.budget is not None:
        chosen["budget"], chosen["budget_unit"] = options.budget
        chosen.setdefault("generations", 1_000_000)  # the budget ends the run
    return plan_run(
        experiment_path=options.experiment or str(home / "experiments" / "evolve.yaml"),
        seed_model=options.seed_model,
        init_from=options.init_from,
        data=options.dataset,
        operator_names=options.operators or (),
        bounds={own: most for name, own in BOUNDS.items() if (most := getattr(options, name)) is not None},
        **chosen,
    )


def resumed(options: argparse.Namespace) -> Run:
    """Open the run that is to go on."""
    for name in (*SEARCH, *LIMITS, *NAMED):
        if name not in EXTENDS and getattr(options, name) not in (None, False):
            option = f"--{name.replace('_', '-')}"
            raise UserError(f"{option} is part of the run in {options.arena}: leave it out")
    return take_up(options.arena, options.generations)


def resume_command(options: argparse.Namespace) -> str:
    """Write the command that goes on with the run."""
    arena = "" if options.arena == ARENA else f" --arena {shlex.quote(options.arena)}"
    return f"python evolve.py{arena} --resume"


def idle_workers(options: argparse.Namespace, lag: int) -> str:
    """Say that some workers will wait, where the lag of a run lets no more trials be under way."""
    if options.workers <= lag + 1:
        return ""
    busy = f"only {lag + 1} of {options.workers} workers will be busy"
    return f"{busy}: a new run with --lag {options.workers - 1} uses them all"


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = argparse.ArgumentParser(
        prog="evolve.py", description="Evolve the source code of a language model."
    )
    decides = made.add_argument_group("what decides the run (recorded; --resume takes --generations alone)")
    for flag, kind, metavar, text in (*_extent(), *_beginning(), *_choices()):
        decides.add_argument(flag, type=kind, metavar=metavar, help=text)
    decides.add_argument(
        "--inherit", action="store_true", help="children start from their parent's weights, where they fit"
    )
    here = made.add_argument_group("where and how it runs")
    here.add_argument("--arena", default=ARENA, metavar="DIR", help=f"the git repository (default: {ARENA})")
    here.add_argument("--resume", action="store_true", help="go on with the run in the arena")
    here.add_argument(
        "--workers", type=whole_number, metavar="N", help="trials at once (default: one per core)"
    )
    add_sandbox_options(here)
    here.add_argument("--debug", action="store_true", help="show the traceback of an error")
    made.set_defaults(workers=os.cpu_count() or 1)
    return made


def _extent() -> _Options:
    """List the options that say how long a run is: flag, kind, metavar, help."""
    return (
        ("--generations", whole_number, "N", "generations of births (default: 20, or as the budget lasts)"),
        ("--budget", amount, "AMOUNT", "of the whole run, confirmation included: 60m, 2e15flops, 50Mtokens"),
        ("--population", whole_number, "N", "births in a generation (default: 8)"),
        ("--tokens", whole_number, "N", "of a full training of the seed model (default: the experiment's)"),
        ("--unit", _unit, "NAME", "what all full trainings get alike: work (default), flops or tokens"),
    )


def _beginning() -> _Options:
    """List the options that say what a run starts from."""
    models = (
        "a model of foundry/models, a path, or zoo:NAME for a model of `foundry zoo`, zoo:DIR for one of "
        "Hugging Face (default: the experiment's)"
    )
    weights = "start from these weights: a checkpoint, or a package that carries one"
    return (
        ("--seed", _seed, "N", "the same seed gives the same commits (default: 0)"),
        ("--seed-model", str, "NAME", models),
        ("--init-from", str, "PATH", weights),
        ("--experiment", str, "FILE", "what to start from (default: experiments/evolve.yaml)"),
        ("--dataset", str, "NAME", "shakespeare_char, or the path of a text"),
    )


def _choices() -> _Options:
    """List the options that say who is born, who lives and what is allowed."""
    known = (selection.names(), OBJECTIVES, samplers.names())
    policies, objectives, numbers = (", ".join(names) for names in known)
    lag = "trials that may outlast a decision (default: 3); N + 1 workers are busy"
    return (
        ("--operators", _names, "A,B", "use these operators only"),
        ("--policy", str, "NAME", f"who becomes a parent: {policies} (default: tournament)"),
        ("--objectives", _names, "A,B", f"to be good at, of {objectives} (default: loss,work)"),
        ("--max-params", whole_number, "N", "refuse models with more parameters"),
        ("--max-kv-bytes", whole_number, "N", "refuse models whose cache takes more bytes per token"),
        ("--sampler", str, "NAME", f"of the experiment's numbers: {numbers} (default: tpe)"),
        ("--islands", whole_number, "N", "populations that exchange their best now and then (default: 1)"),
        ("--lag", whole_number, "N", lag),
        ("--finalists", whole_number, "N", "how many are confirmed with fresh seeds (default: 3)"),
        ("--trial-seconds", whole_number, "N", "limit of one trial (default: 900)"),
        ("--trial-memory", whole_number, "MB", "limit of one trial (default: 2048)"),
    )


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise argparse.ArgumentTypeError("nothing is named")
    return names


def _seed(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number; --seed-model names a model") from None


def _unit(text: str) -> str:
    if text not in UNITS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(UNITS)}")
    return text
