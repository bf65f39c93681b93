"""`foundry sweep OPERATOR VARIANT …`: train variants beside a baseline, rank them, promote the winner."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from foundry.cli.base import BASE, base_for, words
from foundry.cli.edge import guarded
from foundry.cli.job_log import JobLog, say
from foundry.cli.paired import SPLIT, Outcomes, Side, count_missing, train
from foundry.cli.pool_options import add_pool_options
from foundry.cli.ranking import lead_needed
from foundry.cli.sandbox import chosen
from foundry.cli.sweep_folder import default_folder, identity, open_folder
from foundry.cli.sweep_plan import ALL, Plan, plan_sweep, require_baseline
from foundry.cli.sweep_report import as_json, promote, report, show
from foundry.trial.job import Job, Limits
from foundry.trial.outcome import Outcome
from foundry.trial.pool import Pool
from population.ledger import Ledger

TOO_FAR = 3.0  # standard deviations of a paired lead: few edits are that far ahead
WITHIN_REACH = 1.5


def main(argv: Sequence[str] | None = None) -> int:
    """Sweep; return 0 at the end, 1 where nothing could be promoted, 130 after Ctrl-C, 2 for a mistake."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = _options(arguments)
    again = shlex.join(["foundry", "sweep", *arguments])
    return guarded(lambda: _sweep(options, again), name="foundry sweep", debug=options.debug)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="foundry sweep",
        description="Train variants of a baseline beside it with the same seeds, rank them by loss on "
        f"{SPLIT}, and promote the winner. The same command again goes on where it was stopped.",
    )
    parser.add_argument("operator", help="such as swap_activation; foundry mutate --list shows all")
    parser.add_argument("variants", nargs="+", metavar="VARIANT", help=f"such as relu2; {ALL}: all there are")
    parser.add_argument("--site", help="where, if the variants fit in several places")
    parser.add_argument(
        "--base",
        metavar="FILE",
        help=f"the baseline (default: {BASE}, or one beside it that the operator can change)",
    )
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="trainings of each (default: 3)")
    add_pool_options(parser)
    parser.add_argument(
        "--promote", action="store_true", help="make the winner the baseline if it is better beyond noise"
    )
    parser.add_argument("--force", action="store_true", help="promote a winner that is within noise, too")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: a folder of its own in runs/sweep")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(arguments)
    if options.force and not options.promote:
        parser.error("--force goes with --promote")
    return options


def _sweep(options: argparse.Namespace, again: str) -> int:
    log = Console(stderr=True)
    base = options.base or base_for(options.operator)
    if options.base is None and (note := words(options.operator, base)):
        say(log, note)
    plan = plan_sweep(base, options.operator, options.variants, options.site, options.seeds)
    for variant in sorted({*options.variants} - {*plan.variants, ALL}):
        say(log, f"{options.operator} {variant} is what {base} has already: it is the baseline.")
    sweep = identity(options.operator, list(plan.variants), plan.sides, options.trial_seconds)
    folder = options.out or default_folder(sweep)
    try:
        if options.promote and not options.force:
            _warn_of_too_few_seeds(options.seeds, len(plan.variants), log)
        with open_folder(folder, sweep, list(plan.mutants.values())) as ledger:
            outcomes = _trained(plan, ledger, folder, options, log)
    except KeyboardInterrupt:
        say(log, f"\nStopped. Nothing that was finished is lost; go on with:\n  {again}")
        return 130
    found = report(plan, outcomes)
    out = log if options.json else Console()
    show(found, out)
    best = promote(found, out, force=options.force) if options.promote else None
    if options.json:
        print(as_json(found, best))
    return 1 if options.promote and best is None else 0


def _warn_of_too_few_seeds(seeds: int, variants: int, log: Console) -> None:
    """Say up front how far ahead a winner must be, where that is further than most are."""
    needed = lead_needed(seeds, variants)
    if needed > TOO_FAR:
        enough = next(n for n in range(seeds, 1000) if lead_needed(n, variants) <= WITHIN_REACH)
        tried = f"{seeds} seeds and {variants} variant{'s' if variants > 1 else ''}"
        lead = "times the standard deviation of its lead over seeds"
        say(
            log,
            f"With {tried}, a winner is beyond noise only when ahead by {needed:.1f} {lead}; "
            f"with --seeds {enough}, by {lead_needed(enough, variants):.1f}.",
        )


def _trained(plan: Plan, ledger: Ledger, folder: Path, options: argparse.Namespace, log: Console) -> Outcomes:
    """Train what has no outcome in the ledger yet; a new one is there before it is printed."""
    outcomes = {key: outcome for key, _, outcome in ledger.outcomes()}
    missing = count_missing(plan.sides, outcomes)
    if outcomes:
        say(log, f"{folder}: {len(outcomes)} trainings are finished, {missing} are not.")
    lines = JobLog(log, missing)

    def tell(side: Side, job: Job, outcome: Outcome) -> None:
        ledger.record_outcome(job.key, {"name": side.name, "seed": job.seed}, outcome)
        lines.print(side, job, outcome)
        require_baseline(plan, outcomes)

    require_baseline(plan, outcomes)
    if missing:
        limits = Limits(seconds=options.trial_seconds)
        with Pool(
            options.jobs,
            checkpoints=folder / "checkpoints",
            limits=limits,
            preload=plan.source.experiment,
            sandbox=chosen(options, plan.source.experiment),
        ) as pool:
            train(plan.sides, pool, outcomes, tell)
    return outcomes
