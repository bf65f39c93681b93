"""What fresh seeds say of the finalists: is one better than the seed model, and by how much?"""

from __future__ import annotations

from dataclasses import dataclass

from population import looks
from population.search import SEED_MODEL, Search
from population.statistics import Comparison, compare


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """One finalist against the seed model, over the seeds and on the split that selection never saw."""

    number: int
    losses: tuple[float, ...]  # on val_confirm, one per fresh seed
    comparison: Comparison  # with the seed model, paired by seed
    standing: looks.Standing
    claimed: float  # the difference that the search had seen


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The outcome of a run."""

    seed_losses: tuple[float, ...]  # the seed model's, on val_confirm
    finalists: tuple[Finalist, ...]  # best first; those that failed with some seed are left out
    failed: tuple[int, ...]
    confirmed: int  # the best finalist that is better beyond chance; the seed model where there is none
    champion: int  # the same without the edits that did not pay
    test: Comparison | None  # of the champion with the seed model, on the test split

    @property
    def beyond_noise(self) -> bool:
        """Whether somebody was confirmed."""
        return self.champion != SEED_MODEL


def verdict(search: Search) -> Verdict:
    """Compare the finalists of a search with its seed model, as far as their scores are known."""
    archive, confirming = search.archive, search.confirming
    if confirming is None:
        return Verdict(
            seed_losses=(), finalists=(), failed=(), confirmed=SEED_MODEL, champion=SEED_MODEL, test=None
        )
    decision, pairs = confirming.decision, confirming.pairs()
    comparisons = looks.comparisons(pairs, decision)
    scores = archive.rungs.losses[archive.rungs.top]
    finalists = [
        Finalist(
            number=number,
            losses=tuple(own for own, _ in pairs[number][: decision.standings[number].n]),
            comparison=comparison,
            standing=decision.standings[number],
            claimed=scores[number] - scores[SEED_MODEL],
        )
        for number, comparison in comparisons.items()
        if decision.standings[number].state != "failed"
    ]
    finalists.sort(key=lambda f: (f.comparison.mean_difference, f.number))
    confirmed = confirming.champion or SEED_MODEL
    champion = (search.ablating.reduced if search.ablating else None) or confirmed
    base = archive.confirmed.get(SEED_MODEL, {})
    return Verdict(
        seed_losses=tuple(base[seed] for seed in confirming.seeds if seed in base),
        finalists=tuple(finalists),
        failed=tuple(decision.those("failed")),
        confirmed=confirmed,
        champion=champion,
        test=_tested(search, champion),
    )


def _tested(search: Search, champion: int) -> Comparison | None:
    own, base = (search.archive.tested.get(number, {}) for number in (champion, SEED_MODEL))
    seeds = sorted(own.keys() & base.keys())
    if champion == SEED_MODEL or not seeds:
        return None
    return compare([own[seed] for seed in seeds], [base[seed] for seed in seeds])
