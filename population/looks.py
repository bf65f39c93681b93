"""Confirmation in declared looks: fresh paired seeds go only to finalists that can still be confirmed.

After 4 pairs the hopeless are dropped; after 10 those better in every pair are confirmed, and more of the
hopeless dropped; after 16 the rest is decided. The chance that any finalist without a gain is confirmed stays
below the level, whatever the distribution of the noise, as long as swapping a finalist with the baseline
leaves it unchanged.

Within a finalist, one exact sign-flip test covers both chances: of all 2^16 flips of its differences, those
better in each of the first 10 pairs rank before all others, and the rest by their mean. So a finalist better
in 10 of 10 has p = 1/1024 whatever follows and can stop there; at the end the flips that would have stopped
are counted against the others. Between finalists, Holm's adjustment counts every one that there ever was.
Dropping can only take claims away, so its rule needs no correction. Four pairs can do no more than drop:
better in all of them has p = 1/16.

Simulated on normal differences of standard deviation s, three finalists on one baseline, by
`benchmarks/false_claims.py 4000`. "Found" is how often the one that has the gain is confirmed while the
other two have none, of 1,000; a training is one model with one seed, of 64 without stopping. False claims are
counted in 4,000 runs, those of the last row, which had 46 in them, in 40,000 more (359).

    level  looks      false   found with a gain of    trainings with a gain of      2 s in
                      claims  0.5 s   1 s     2 s     0       1 s     2 s           all three
    5%     8          5.1%    17%     56%     99%     32      32      32            32
    5%     4, 8, 16   4.1%    39%     92%     100%    37      46      39            39
    1%     4, 8, 16   1.0%    16%     77%     100%    31      45      46            64
    1%     4, 10, 16  0.9%    14%     73%     100%    31      43      38            46
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from population.statistics import Comparison, compare, holm

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LOOKS = (4, 10, 16)  # pairs; at 8, better in all of them has p = 1/256: too much at 1% with three finalists
LEVEL = 0.01  # of the family of all finalists: in so many runs without any gain is one claimed, at most
_MOST_PAIRS = 16  # 2^16 sign flips are enumerated in milliseconds
_BOUND = 0.8  # confidence that the true difference is no better than what a hopeless finalist is granted
_HOPE = 0.1  # least chance of being confirmed at the last look that is worth the trainings
_ROUNDING = 1e-9  # relative; sums that differ by less are ties

State = Literal["confirmed", "hopeless", "unproven", "failed", "open"]
Pairs = Mapping[int, Sequence[tuple[float, float]]]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where one finalist stands after the looks that could be taken."""

    state: State  # "unproven": not confirmed at the last look; "open": goes on to the next one
    n: int = 0  # pairs that were looked at
    p_value: float = 1.0  # corrected for the looks; 1 as long as none was due
    p_adjusted: float = 1.0  # by Holm, for all finalists, too


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the scores so far decide."""

    standings: dict[int, Standing]  # by finalist, in the order given
    next_look: int | None  # pairs that open finalists, and so the baseline, need; None: all is decided

    def those(self, state: State) -> list[int]:
        """List the finalists in a state."""
        return [number for number, standing in self.standings.items() if standing.state == state]


def decide(
    pairs: Pairs,
    looks: Sequence[int] = LOOKS,
    level: float = LEVEL,
    failed: Collection[int] = (),
) -> Decision:
    """Take every look for which the scores are there, in turn.

    `pairs` holds, for each finalist, (its loss, the baseline's) by fresh seed, always in the same order of
    seeds; a look at n sees the first n, whatever else has arrived, and waits until every open finalist has
    them. All finalists are in it from the start, without pairs if need be, since their number enters the
    correction. Those in `failed`, which have no loss for some seed, are never confirmed. Without any look,
    nobody is.
    """
    assert list(looks) == sorted(set(looks))
    assert all(2 <= look <= _MOST_PAIRS for look in looks)
    early = early_look(looks, level, len(pairs))
    begin: State = "open" if looks else "unproven"
    standings = {n: Standing(state="failed" if n in failed else begin) for n in pairs}
    for look in looks:
        going = [number for number, standing in standings.items() if standing.state == "open"]
        if not going or any(len(pairs[number]) < look for number in going):
            return Decision(standings=standings, next_look=look if going else None)
        differences = {number: [mine - base for mine, base in pairs[number][:look]] for number in going}
        hopeless = _hopeless(differences, looks[-1], level / len(pairs))
        for number, values in differences.items():
            state: State = "unproven" if look == looks[-1] else "hopeless" if number in hopeless else "open"
            due = look == looks[-1] or (look == early and all(value < 0 for value in values))
            p = p_value(values, early) if due else 1.0
            standings[number] = Standing(state=state, n=look, p_value=p)
        standings = _adjusted(standings)
        for number in going:
            if standings[number].p_adjusted <= level:
                standings[number] = replace(standings[number], state="confirmed")
    return Decision(standings=standings, next_look=None)


def _adjusted(standings: Mapping[int, Standing]) -> dict[int, Standing]:
    p_values = holm([standing.p_value for standing in standings.values()])
    return {
        number: replace(standing, p_adjusted=p)
        for (number, standing), p in zip(standings.items(), p_values, strict=True)
    }


def comparisons(pairs: Pairs, decision: Decision) -> dict[int, Comparison]:
    """Compare every finalist that was looked at with the baseline, over the pairs that decided about it.

    The p-value in a comparison is the plain one, without any correction, and the
    interval is that of a fixed number of pairs. A gain that was confirmed looks larger than it is, since what
    happened to look larger was confirmed: simulated, by 0.37 standard deviations of a paired difference where
    it is 0.5, by 0.15 where it is 1, by 0.03 where it is 2.
    """
    return {
        number: compare(*zip(*pairs[number][: standing.n], strict=True))
        for number, standing in decision.standings.items()
        if standing.n
    }


def early_look(looks: Sequence[int], level: float, finalists: int) -> int | None:
    """Name the look before the last that can confirm: the first to take no more than half of the level.

    It takes `finalists` * 2^-n of it, n being its pairs. Later ones could confirm nobody else: who is better
    in all their pairs was better in all of its.
    """
    return next((look for look in looks[:-1] if finalists * 2.0**-look <= level / 2), None)


def p_value(differences: Sequence[float], early: int | None) -> float:
    """Return the exact p-value, corrected for the looks, of one finalist whose turn it is to be confirmed.

    It is the share of the sign flips of its differences that would have stopped at the early look, or whose
    sum is as small as the observed one. At the early look itself, for one better in every pair, that is 2^-n.
    """
    import numpy as np  # here, because a run must be on screen before it is loaded

    sums = _signs(len(differences)) @ np.asarray(differences)
    as_good = sums <= sums[0] + _ROUNDING * float(np.abs(differences).sum())
    if early is not None and all(differences[:early]):
        stops = sum(1 << pair for pair, value in enumerate(differences[:early]) if value > 0)
        as_good |= np.arange(len(sums)) % 2**early == stops
    return float(as_good.mean())


@lru_cache
def _signs(n: int) -> NDArray[np.float64]:
    """Return all 2^n rows of n signs; bit k of a row's number says whether it flips pair k."""
    import numpy as np

    flipped = np.arange(2**n)[:, None] >> np.arange(n) & 1
    return (1 - 2 * flipped).astype(np.float64)


def _hopeless(differences: Mapping[int, Sequence[float]], last: int, level: float) -> set[int]:
    """Name those with hardly a chance to be confirmed at the last look, even if they are as good as can be.

    As good as can be is the favourable end of a one-sided normal bound on the difference, with one standard
    deviation for all. The chance is that of a normal test at `level`, given the pairs so far.
    """
    normal = statistics.NormalDist()
    n = len(next(iter(differences.values())))
    spread = math.sqrt(statistics.fmean(statistics.variance(values) for values in differences.values()))
    hopeless = set()
    for number, values in differences.items():
        mean = statistics.fmean(values)
        best = mean - normal.inv_cdf(_BOUND) * spread / math.sqrt(n)
        missing = n * mean + (last - n) * best - normal.inv_cdf(level) * spread * math.sqrt(last)
        if missing >= -normal.inv_cdf(_HOPE) * spread * math.sqrt(last - n):
            hopeless.add(number)
    return hopeless
