"""Variants in order of loss, each against the baseline over paired seeds, corrected for their number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from foundry.cli.paired import LEVEL, Result
from population import figures
from population.statistics import Comparison, compare, holm, two_sided


@dataclass(frozen=True)
class Ranked:
    """One variant against the baseline."""

    variant: str
    result: Result
    difference: Comparison
    p_value: float  # Student's paired t-test, two-sided, as `foundry compare` gives it
    p_adjusted: float  # Holm's, over all variants of the sweep

    @property
    def better(self) -> bool:
        """Whether its mean loss is below the baseline's."""
        return self.difference.mean_difference < 0

    @property
    def beyond_noise(self) -> bool:
        """Whether a difference this sure would be rare by chance alone, among so many variants."""
        return self.p_adjusted < LEVEL


def rank(baseline: Result, variants: Mapping[str, Result], tried: int) -> list[Ranked]:
    """Compare each variant with the baseline; the lowest loss comes first.

    `tried` is the number of variants that the sweep set out with. Those that failed count in the correction,
    so that failing, which may depend on the seeds, never makes the others look surer.
    """
    p_values = [two_sided(result.losses, baseline.losses) for result in variants.values()]
    adjusted = holm([*p_values, *[1.0] * (tried - len(p_values))])
    ranked = [
        Ranked(variant, result, compare(result.losses, baseline.losses), p_value, p_adjusted)
        for (variant, result), p_value, p_adjusted in zip(variants.items(), p_values, adjusted, strict=False)
    ]
    return sorted(ranked, key=lambda each: (each.result.loss, each.variant))


def winner(ranking: Sequence[Ranked], *, force: bool = False) -> Ranked | None:
    """Return the best of those that are better beyond noise; with `force`, the best that is better at all."""
    ahead = [each for each in ranking if each.better]
    sure = [each for each in ahead if each.beyond_noise]
    return next(iter(sure or (ahead if force else [])), None)


def lead_needed(seeds: int, variants: int) -> float:
    """Return how far ahead a variant must be to be beyond noise, in standard deviations of its paired lead.

    It is the strictest step of Holm's correction: the one that the best of the variants must pass.
    """
    from scipy import stats

    return float(stats.t.ppf(1 - LEVEL / (2 * variants), seeds - 1)) / math.sqrt(seeds)


def table(baseline: Result, ranking: Sequence[Ranked]) -> Table:
    """Lay out the ranking; the baseline, without a rank, stands where its loss puts it."""
    shown = Table(box=None, padding=(0, 1), collapse_padding=True, pad_edge=False)
    shown.add_column("#", justify="right")
    shown.add_column("variant", no_wrap=True, overflow="ellipsis", max_width=22)
    for column in ("loss", "Δbase", "95% interval", "p (Holm)", "params", "tok/s"):
        shown.add_column(column, justify="right", no_wrap=True)
    rows = [(str(number), *_row(each)) for number, each in enumerate(ranking, 1)]
    ahead = sum(each.result.loss < baseline.loss for each in ranking)
    rows.insert(ahead, ("", "baseline", figures.loss(baseline.loss), "", "", "", *_size(baseline)))
    for cells in rows:
        shown.add_row(*cells)
    return shown


def _row(each: Ranked) -> tuple[str, ...]:
    d = each.difference
    return (
        each.variant,
        figures.loss(each.result.loss),
        figures.delta(d.mean_difference, 4),
        f"{figures.delta(d.low, 4)} … {figures.delta(d.high, 4)}",
        f"{each.p_adjusted:.3f}",
        *_size(each.result),
    )


def _size(result: Result) -> tuple[str, str]:
    facts = result.facts()
    return figures.count(facts["params"]), figures.count(facts["tokens_per_second"])
