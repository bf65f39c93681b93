"""What fresh seeds say of the finalists: is one better than the seed model, and by how much?"""

from __future__ import annotations

from dataclasses import dataclass

from population.search import SEED_MODEL, Search
from population.statistics import Comparison, compare, holm

LEVEL = 0.05  # of the family of all finalists together


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """One finalist against the seed model, over the seeds and on the split that selection never saw."""

    number: int
    losses: tuple[float, ...]  # on val_confirm, one per fresh seed
    comparison: Comparison  # with the seed model, paired by seed
    p_adjusted: float  # Holm's, over all finalists
    claimed: float  # the difference that the search had seen


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The outcome of a run."""

    seed_losses: tuple[float, ...]  # the seed model's, on val_confirm
    finalists: tuple[Finalist, ...]  # best first
    incomplete: tuple[int, ...]  # finalists that failed with some seed: out of the running
    champion: int  # the seed model itself where no finalist is better

    @property
    def beyond_noise(self) -> bool:
        """Whether the champion's gain would be rare by chance alone."""
        return any(f.number == self.champion and f.p_adjusted <= LEVEL for f in self.finalists)


def verdict(search: Search) -> Verdict:
    """Compare the finalists of a finished search with its seed model."""
    base = search.confirmed.get(SEED_MODEL, {})
    seeds = sorted(base)
    whole = [n for n in search.finalists or [] if sorted(search.confirmed.get(n, {})) == seeds]
    losses = (
        {n: tuple(search.confirmed[n][seed] for seed in seeds) for n in (SEED_MODEL, *whole)} if seeds else {}
    )
    comparisons = {n: compare(losses[n], losses[SEED_MODEL]) for n in whole}
    adjusted = holm([comparisons[n].p_value for n in whole])
    searched = search.rungs.losses[search.rungs.top]
    finalists = [
        Finalist(
            number=n,
            losses=losses[n],
            comparison=comparisons[n],
            p_adjusted=p,
            claimed=searched[n] - searched[SEED_MODEL],
        )
        for n, p in zip(whole, adjusted, strict=True)
    ]
    finalists.sort(key=lambda f: (f.comparison.mean_difference, f.number))
    better = [f.number for f in finalists if f.comparison.mean_difference < 0]
    return Verdict(
        seed_losses=losses.get(SEED_MODEL, ()),
        finalists=tuple(finalists),
        incomplete=tuple(n for n in search.finalists or [] if n not in whole),
        champion=better[0] if better else SEED_MODEL,
    )
