"""The end of a sweep: the ranking, and the baseline that comes of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from foundry.cli.job_log import say
from foundry.cli.mutant import show_change
from foundry.cli.paired import LEVEL, SPLIT, Outcomes, Result, failure, result
from foundry.cli.promotion import promoted, replace_baseline
from foundry.cli.ranking import Ranked, rank, table, winner
from foundry.cli.sweep_plan import Plan
from foundry.trial.job import Job
from foundry.trial.outcome import Outcome
from population.search import describe


@dataclass(frozen=True)
class Report:
    """What a finished sweep has found."""

    plan: Plan
    baseline: Result
    ranking: list[Ranked]
    failed: dict[str, tuple[Job, Outcome]]  # variants without a score with some seed


def report(plan: Plan, outcomes: Outcomes) -> Report:
    """Rank the variants against the baseline, which has not failed."""
    failures = {variant: failure(side, outcomes) for variant, side in plan.variants.items()}
    failed = {variant: found for variant, found in failures.items() if found}
    scored = {
        variant: result(side, outcomes) for variant, side in plan.variants.items() if variant not in failed
    }
    baseline = result(plan.baseline, outcomes)
    return Report(plan, baseline, rank(baseline, scored, len(plan.variants)), failed)


def show(found: Report, console: Console) -> None:
    """Print the ranking, then what failed and why, then how sure the ranking is."""
    seeds, tried = len(found.baseline.scores), len(found.plan.variants)
    say(console, f"{found.plan.base} and its variants, {seeds} paired seeds, loss on {SPLIT}")
    console.print(table(found.baseline, found.ranking))
    for variant, (job, outcome) in found.failed.items():
        say(console, f"✗ {variant}: seed {job.seed} {describe(outcome)}")
    sure = [each.variant for each in found.ranking if each.better and each.beyond_noise]
    verdict = f"{', '.join(sure) or 'No variant'} {'are' if len(sure) > 1 else 'is'} better than the baseline"
    correction = f"; p is corrected for {tried} variants, intervals are not" if tried > 1 else ""
    say(console, f"{verdict} beyond noise{correction}.")


def promote(found: Report, console: Console, *, force: bool) -> Ranked | None:
    """Put the winner in the baseline's place and show the change, or say why there is no winner."""
    best = winner(found.ranking, force=force)
    if best is None:
        say(console, f"{_why_not(found)}: nothing is promoted{'' if force else _hint(found)}.")
        return None
    plan = found.plan
    new = promoted(plan.source, plan.mutants[best.variant].edit)
    kept = replace_baseline(Path(plan.base), plan.source.experiment, new.experiment, best.variant)
    say(console, f"{plan.base} is {best.variant} now; the one before is kept as {kept.name}.")
    show_change(plan.source, new, console)
    return best


def _why_not(found: Report) -> str:
    ahead = [each for each in found.ranking if each.better]
    if not ahead:
        return "No variant has a lower loss than the baseline"
    best = ahead[0]
    lead = f"{-best.difference.mean_difference:.4f} nats per token"
    return f"{best.variant} is {lead} ahead, which is within noise (p = {best.p_adjusted:.3f} ≥ {LEVEL})"


def _hint(found: Report) -> str:
    return "; --force does it anyway" if any(each.better for each in found.ranking) else ""


def as_json(found: Report, winner: Ranked | None) -> str:
    """Write all of it as JSON; `winner` is what was promoted."""
    plan = found.plan
    ranked = [
        {
            "rank": number,
            **_names(plan, each.variant),
            **_figures(each.result),
            "difference": _difference(each),
        }
        for number, each in enumerate(found.ranking, 1)
    ]
    failed = [
        {"rank": None, **_names(plan, variant), "failed": type(outcome).__name__, "seed": job.seed}
        | asdict(outcome)
        for variant, (job, outcome) in found.failed.items()
    ]
    body = {
        "split": SPLIT,
        "data": plan.baseline.data,
        "baseline": {"file": plan.base, "name": found.baseline.name, **_figures(found.baseline)},
        "variants": ranked + failed,
        "promoted": None if winner is None else winner.variant,
    }
    return json.dumps(body, indent=2)


def _names(plan: Plan, variant: str) -> dict[str, str]:
    return {"name": plan.mutants[variant].name, **asdict(plan.mutants[variant].edit)}


def _figures(result: Result) -> dict[str, Any]:
    return {"losses": result.losses, **result.facts()}


def _difference(each: Ranked) -> dict[str, float]:
    return {
        **vars(each.difference),
        "p_value_two_sided": each.p_value,
        "p_value_holm": each.p_adjusted,
    }
