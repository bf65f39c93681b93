"""The tables at the end of a run: confirmation, ablation, and which operators paid."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from genome import Candidate, Step
from population import figures
from population.confirmation import Finalist, Verdict
from population.credit import Pay
from population.search import SEED_MODEL, Search
from population.stages.ablating import Ablating
from population.statistics import sigma

_MOST_OPERATORS = 12


def print_confirmation(result: Verdict, family: Mapping[int, Candidate], console: Console) -> None:
    """Set the finalists beside the seed model."""
    seeds = len(result.seed_losses)
    table = Table(box=None, padding=(0, 1))
    table.add_column("candidate", no_wrap=True, overflow="ellipsis", max_width=20)
    for column, width in (
        ("n", 2),
        ("loss", 6),
        ("Δseed", 7),
        ("95% interval", 15),
        ("p", 6),
        ("claimed", 7),
    ):
        table.add_column(column, justify="right", no_wrap=True, min_width=width)
    for finalist in result.finalists:
        table.add_row(family[finalist.number].name, *_figures(finalist))
    for number in result.failed:
        table.add_row(family[number].name, "", "failed", "", "with some seed", "", "")
    mean = math.fsum(result.seed_losses) / seeds
    noise = f"σ {sigma(result.seed_losses):.4f}" if seeds > 1 else ""
    table.add_row(family[SEED_MODEL].name, f"{seeds}", f"{mean:.4f}", "", noise)
    _print(f"Confirmation: {seeds} fresh seeds on val_confirm, against the seed model", table, console)


def _figures(finalist: Finalist) -> tuple[str, ...]:
    c = finalist.comparison
    mean = math.fsum(finalist.losses) / c.n
    return (
        f"{c.n}",
        f"{mean:.4f}",
        f"{c.mean_difference:+.4f}",
        f"{c.low:+.3f} … {c.high:+.3f}",
        f"{finalist.standing.p_adjusted:.4f}",
        f"{finalist.claimed:+.4f}",
    )


def print_ablation(ablating: Ablating, edits: Sequence[Step], console: Console) -> None:
    """Say what each edit of the champion is worth, and which were dropped."""
    if ablating.skipped:
        console.print("The budget leaves no room to ablate the champion's edits.\n", highlight=False)
        return
    costs = ablating.costs()
    if not any(cost is not None for cost in costs.values()):
        return
    table = Table(box=None, padding=(0, 1))
    table.add_column("edit", no_wrap=True, overflow="ellipsis", max_width=46)
    table.add_column("nats", justify="right", min_width=7)
    table.add_column("")
    for part, cost in costs.items():
        words = ", ".join(edits[place - 1].words for place in part)
        gone = set(part) <= set(ablating.dropped)
        fate = "dropped" if gone else "" if cost is not None else "others build on it"
        several = f"{len(part)} edits: " if len(part) > 1 else ""
        table.add_row(several + words, "" if cost is None else f"{cost:+.4f}", fate)
    _print("Ablation: what it costs to take an edit of the champion out", table, console)
    console.print()


def print_operators(search: Search, console: Console) -> None:
    """Say which operators paid, how many edits at once, and what knowing equal programs saved."""
    if rows := search.breeding.credit.table():
        title = "What paid: gain on the parent at the first rung, per birth, in sigmas"
        _print(title, _paid("operator", rows[:_MOST_OPERATORS]), console)
    if len(rows := search.breeding.sizes.table()) > 1:
        console.print()
        _print("How many edits at once paid", _paid("edits", rows), console)
    twins, saved = len(search.archive.twins), search.archive.spending.saved
    if twins:
        console.print(
            f"{twins} programs computed what another one does: {figures.count(saved.tokens)} tokens "
            f"({figures.count(saved.flops, ' ')}FLOP) of training saved.",
            highlight=False,
        )


def _paid(column: str, rows: Sequence[Pay]) -> Table:
    table = Table(box=None, padding=(0, 1))
    table.add_column(column, no_wrap=True)
    for heading in ("births", "better", "sigmas"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(row.operator, f"{row.births}", f"{row.better}", f"{row.gain:.3f}")
    return table


def _print(title: str, table: Table, console: Console) -> None:
    """Print a table under its title, which may be the wider of the two."""
    console.print(title, style="bold", highlight=False)
    console.print(table)
