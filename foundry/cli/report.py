"""The end of a run: who won, by how much, how sure that is, and where to look."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping

from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table

from foundry.cli.run import Run
from genome import Candidate
from population.confirmation import LEVEL, Finalist, Verdict, verdict
from population.search import SEED_MODEL, Search
from population.statistics import sigma
from population.table import short_name


def conclude(run: Run, search: Search, family: Mapping[int, Candidate], console: Console) -> None:
    """Crown the champion, record the verdict, and print what a person wants to know."""
    result = verdict(search)
    champion = family[result.champion]
    console.print()
    if result.finalists:
        console.print(_table(result, family))
    console.print(_sentence(result, champion), highlight=False, markup=False)
    if result.champion != SEED_MODEL:
        _print_champion(run, family[SEED_MODEL], champion, console)
    _print_commands(run, family[SEED_MODEL], champion, console)
    _crown(run, champion)


def _crown(run: Run, champion: Candidate) -> None:
    """Put the champion on record and on its branch; last, since a branch of the user's may be in the way."""
    if [event["commit"] for event in run.ledger.events("champion")][-1:] != [champion.commit]:
        run.ledger.record("champion", {"name": champion.name, "commit": champion.commit})
    run.arena.crown(champion)
    run.arena.tidy()


def _table(result: Verdict, family: Mapping[int, Candidate]) -> Table:
    seeds = len(result.seed_losses)
    table = Table(
        title=f"Confirmation: {seeds} fresh seeds on val_confirm, against the seed model",
        title_justify="left",
        title_style="bold",
        box=None,
        padding=(0, 1),
    )
    table.add_column("candidate", no_wrap=True, overflow="ellipsis", max_width=24)
    for column, width in (("loss", 6), ("Δseed", 7), ("95% interval", 15), ("p (Holm)", 8), ("claimed", 7)):
        table.add_column(column, justify="right", no_wrap=True, min_width=width)
    for finalist in result.finalists:
        table.add_row(family[finalist.number].name, *_figures(finalist))
    for number in result.incomplete:
        table.add_row(family[number].name, "failed", "", "with some of the", "seeds", "")
    mean = math.fsum(result.seed_losses) / seeds
    table.add_row(
        family[SEED_MODEL].name, f"{mean:.4f}", "", f"σ {sigma(result.seed_losses):.4f}" if seeds > 1 else ""
    )
    return table


def _figures(finalist: Finalist) -> tuple[str, ...]:
    c = finalist.comparison
    mean = math.fsum(finalist.losses) / c.n
    return (
        f"{mean:.4f}",
        f"{c.mean_difference:+.4f}",
        f"{c.low:+.3f} … {c.high:+.3f}",
        f"{finalist.p_adjusted:.3f}",
        f"{finalist.claimed:+.4f}",
    )


def _sentence(result: Verdict, champion: Candidate) -> str:
    if result.champion == SEED_MODEL:
        return "\nNo finalist was better than the seed model on fresh seeds: the seed model stays champion."
    best = next(f for f in result.finalists if f.number == result.champion)
    gain, claimed = -best.comparison.mean_difference, -best.claimed
    chance = f"p = {best.p_adjusted:.3f}"
    found = (
        f"beats the seed model by {gain:.4f} nats per token ({chance})"
        if result.beyond_noise
        else f"is {gain:.4f} nats per token ahead, which chance may explain ({chance} > {LEVEL})"
    )
    held = f"{claimed - gain:.4f} of that did not hold up" if claimed > gain else "all of that held up"
    claim = f"The search had claimed {claimed:.4f} on its one seed and its own split"
    return f"\n{champion.name} {found}.\n{claim}: {held}.\n"


def _print_champion(run: Run, seed: Candidate, champion: Candidate, console: Console) -> None:
    console.print("[bold]How it came to be[/bold]")
    for ancestor in run.arena.lineage(champion):
        console.print(f"  {short_name(ancestor.name)}  {ancestor.words}", highlight=False, markup=False)
    console.print("\n[bold]Its difference from the seed model[/bold]")
    console.print(Syntax(run.arena.diff(seed, champion), "diff", background_color="default", word_wrap=True))


def _print_commands(run: Run, seed: Candidate, champion: Candidate, console: Console) -> None:
    git = f"git -C {shlex.quote(str(run.arena.path))}"
    console.print("\n[bold]Look further[/bold]")
    for command in (
        f"{git} show champion:model.py",
        f"{git} diff {seed.branch} champion",
        f"{git} log --graph --oneline --notes=foundry --branches='candidate/*'",
        f"{git} for-each-ref refs/foundry/rejected",
    ):
        console.print(f"  {command}", highlight=False, markup=False, soft_wrap=True)
