"""Whether the finalists keep their order when they are trained for longer than the search could afford."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

MOST = 8  # candidates; their 40,320 orders are enumerated at once
_LEVEL = 0.05  # of p: below it, an agreement is called one


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """How the order of n candidates at the search's budget agrees with that at a longer one.

    A coefficient is 1 for the same order, -1 for the reverse, and None where all scores at one of the budgets
    are equal, since they have no order then.
    """

    n: int
    times: float  # how much longer the longer training was
    spearman: float | None
    kendall: float | None  # tau-b, for ties
    p_value: float  # one-sided: share of all orders that agree at least as well by Spearman
    chance: tuple[float, float] | None  # where Spearman's coefficient lies in 95% of all orders
    place: int  # of the best at the search's budget, at the longer one; the worst one of those that tie

    @property
    def sentence(self) -> str:
        """Say it to a person."""
        budget = f"{self.times:g} times the budget"
        if self.spearman is None or self.kendall is None or self.chance is None:
            return f"At {budget} there is no order to compare: the {self.n} finalists tie."
        agreement = f"rank correlation {self.spearman:+.2f} (Spearman; Kendall {self.kendall:+.2f})"
        low, high = self.chance
        if self.p_value <= _LEVEL:
            worth = f"only 1 order in {1 / self.p_value:,.0f} agrees as well"
        elif self.spearman < low:
            worth = "the order is turned round, by more than chance explains"
        else:
            worth = (
                f"a random order agrees as well in {self.p_value:.0%} of cases, and chance alone gives "
                f"{low:+.2f} to {high:+.2f}, so this says little"
            )
        best = "is still the best" if self.place == 1 else f"comes in at place {self.place}"
        return f"At {budget} the best of {self.n} finalists {best}; {agreement}: {worth}."


def transfer(searched: Sequence[float], longer: Sequence[float], times: float = 4) -> Transfer:
    """Compare the losses of 2 to 8 candidates, in the same order, at two budgets.

    With so few, no bootstrap holds what it promises; instead all n! orders are enumerated, which is exact,
    also with ties. Two or three candidates can never tell agreement from chance (1 order in 6), and four only
    where all agree (1 in 24).
    """
    import numpy as np  # here, because scipy.stats takes over a second and a run must be on screen before it
    from scipy import stats

    assert 2 <= len(searched) <= MOST
    pairs = sorted(zip(searched, longer, strict=True))  # the figures do not hang on how they are listed
    searched, longer = [first for first, _ in pairs], [second for _, second in pairs]
    n = len(pairs)
    best = max(second for first, second in pairs if first == searched[0])
    place = sum(loss <= best for loss in longer)
    if len(set(searched)) == 1 or len(set(longer)) == 1:
        return Transfer(n=n, times=times, spearman=None, kendall=None, p_value=1.0, chance=None, place=place)
    first = stats.zscore(stats.rankdata(searched))
    orders = np.array(list(permutations(stats.zscore(stats.rankdata(longer)))))
    coefficients = orders @ first / n  # Spearman's is Pearson's of the ranks; the first order is the observed
    low, high = np.quantile(coefficients, (0.025, 0.975), method="nearest")
    return Transfer(
        n=n,
        times=times,
        spearman=float(stats.spearmanr(searched, longer).statistic),
        kendall=float(stats.kendalltau(searched, longer).statistic),
        p_value=float(np.mean(coefficients >= coefficients[0] - 1e-9)),
        chance=(float(low), float(high)),
        place=place,
    )
