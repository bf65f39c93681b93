"""The end of a run: who won, by how much, how sure that is, and where to look."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from rich.console import Console
from rich.syntax import Syntax

from foundry.cli.crowning import crowned
from foundry.cli.lineage import print_lineage
from foundry.cli.reduction import edits_of
from foundry.cli.report_tables import print_ablation, print_confirmation, print_operators
from foundry.cli.run import Run
from foundry.training import experiment
from genome import Candidate
from population.confirmation import Verdict, verdict
from population.looks import LEVEL
from population.search import SEED_MODEL, Search
from population.table import short_name


def conclude(run: Run, search: Search, family: Mapping[int, Candidate], console: Console) -> None:
    """Crown the champion, record the verdict, and print what a person wants to know."""
    result = verdict(search)
    console.print()
    if result.finalists:
        print_confirmation(result, family, console)
    console.print(_sentence(result, family), highlight=False, markup=False)
    champion = family[result.champion]
    if result.champion != SEED_MODEL:
        if search.ablating is not None:
            print_ablation(search.ablating, edits_of(run.arena, family[result.confirmed]), console)
            champion = crowned(run, family, search.ablating)
        _print_champion(run, family[SEED_MODEL], champion, console)
        _print_inheritance(run, family[result.confirmed], console)
    print_operators(search, console)
    _print_commands(run, family[SEED_MODEL], champion, console)
    _crown(run, champion)


def _crown(run: Run, champion: Candidate) -> None:
    """Put the champion on record and on its branch; last, since a branch of the user's may be in the way."""
    if [event["commit"] for event in run.ledger.events("champion")][-1:] != [champion.commit]:
        run.ledger.record("champion", {"name": champion.name, "commit": champion.commit})
    run.arena.crown(champion)
    run.arena.tidy()


def _sentence(result: Verdict, family: Mapping[int, Candidate]) -> str:
    if not result.finalists:
        return "Nobody was confirmed, for want of finalists or of budget: the seed model stays champion."
    if not result.beyond_noise:
        best = result.finalists[0]
        gain = -best.comparison.mean_difference
        if gain <= 0:
            return (
                "\nNo finalist was better than the seed model on fresh seeds: the seed model stays champion."
            )
        return (
            f"\n{family[best.number].name} is {gain:.4f} nats per token ahead of the seed model, "
            f"which chance may explain\n(p = {best.standing.p_adjusted:.3f} > {LEVEL}): "
            "the seed model stays champion."
        )
    best = next(f for f in result.finalists if f.number == result.confirmed)
    gain, claimed = -best.comparison.mean_difference, -best.claimed
    held = f"{claimed - gain:.4f} of that did not hold up" if claimed > gain else "all of that held up"
    lines = [
        f"\n{family[best.number].name} beats the seed model by {gain:.4f} nats per token "
        f"(p = {best.standing.p_adjusted:.4f}).",
        f"The search had claimed {claimed:.4f} on its one seed and its own split: {held}.",
    ]
    if result.test is not None:
        t = result.test
        reduced = result.champion != result.confirmed
        subject = "without the edits that ablation dropped, as champion" if reduced else "as champion"
        lines.append(
            f"On the test split, opened once, {subject}: {-t.mean_difference:.4f} "
            f"({-t.high:.4f} to {-t.low:.4f}), {t.n} seeds."
        )
    return "\n".join(lines) + "\n"


def _print_champion(run: Run, seed: Candidate, champion: Candidate, console: Console) -> None:
    console.print("[bold]How it came to be[/bold]")
    print_lineage(run.arena.lineage(champion), console)
    console.print("\n[bold]Its difference from the seed model[/bold]")
    console.print(Syntax(run.arena.diff(seed, champion), "diff", background_color="default", word_wrap=True))


def _print_inheritance(run: Run, candidate: Candidate, console: Console) -> None:
    """Say how much of a champion came from a checkpoint, where the run began with one."""
    note = run.arena.notes().get(candidate.commit, {})
    if experiment.parse(run.plan.experiment).checkpoint is not None and "params" in note:
        kept, whole = int(note["inherited"]), int(note["params"])
        share = f"{kept:,} of {whole:,} parameters of {short_name(candidate.name)} ({kept / whole:.1%})"
        console.print(f"\nThe checkpoint gave {share} their first values.", highlight=False)


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
