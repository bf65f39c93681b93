"""How often a run on null mutations declares a better champion, and what it costs not to.

    python benchmarks/false_claims.py [RUNS]

Every edit changes nothing: a loss is the base, plus what its seed does to everybody, plus what chance does to
this training. 160 candidates are born and climb three rungs on one seed, the same luck at each, which is the
hardest case for the confirmation; the best three are confirmed on fresh seeds. Greedy keep-or-revert keeps a
candidate whenever its single score beats that of the last one kept. The second table is the power: finalists
with real gains, in standard deviations of a paired difference. The declared level is a proved bound, and the
procedure comes close to it: a few thousand runs may come out on either side.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from population.looks import LEVEL, LOOKS, Decision, decide
from population.rungs import Rungs

BIRTHS = 160
FINALISTS = 3
HEIGHT, ETA = 3, 3
BETWEEN_SEEDS = 0.016  # nats; standard deviation of one code over seeds
PAIRED = 0.009  # nats; standard deviation of the difference of two codes at one seed
OWN = PAIRED / 2**0.5
SHARED = (BETWEEN_SEEDS**2 - OWN**2) ** 0.5
BASE = 2.0
Scheme = tuple[tuple[int, ...], float]  # looks, level
SCHEMES: tuple[Scheme, ...] = (((8,), 0.05), ((4, 8, 16), 0.05), ((4, 8, 16), 0.01), (LOOKS, LEVEL))
GAINS = ((0.0, 0.0, 0.0), (0.5, 0.0, 0.0), (1.0, 0.0, 0.0), (2.0, 0.0, 0.0), (2.0, 2.0, 2.0))

Losses = NDArray[np.float64]  # (seeds, models); the baseline is model 0


@dataclass(frozen=True)
class Confirmed:
    """A confirmation that has come to its end."""

    decision: Decision
    trainings: int  # of finalists and baseline
    optimism: list[float]  # for each confirmed finalist, true minus observed difference, in nats


def main(runs: int) -> None:
    """Simulate and print."""
    print(
        f"{runs} runs of {BIRTHS} null mutations, {FINALISTS} finalists: runs that declare a better champion"
    )
    rng = np.random.default_rng(0)
    print(f"  greedy keep-or-revert{'':18}{share([greedy(rng) for _ in range(runs)])}")
    claims: dict[Scheme, list[bool]] = {scheme: [] for scheme in SCHEMES}
    claimed = []
    for _ in range(runs):
        claimed.append(search(rng))
        losses = fresh(rng, (0.0,) * FINALISTS)
        for looks, level in SCHEMES:
            claims[looks, level].append(bool(confirm(losses, looks, level).decision.those("confirmed")))
    for (looks, level), found in claims.items():
        print(f"  looks at {looks!s:12} level {level:.0%}{'':10}{share(found)}")
    print(f"  the searches had claimed {np.mean(claimed):+.4f} nats on average; the truth is 0")
    print(f"\n{runs // 4} confirmations each; gains of the three finalists in paired standard deviations")
    for gains in GAINS:
        for looks, level in SCHEMES:
            scheme = f"looks at {looks!s:12} level {level:.0%}"
            print(f"  {gains}  {scheme}  {power(rng, runs // 4, gains, looks, level)}")


def greedy(rng: np.random.Generator) -> bool:
    """Say whether keep-or-revert on one seed has kept anything by the end."""
    scores = BASE + rng.normal(0, SHARED) + rng.normal(0, OWN, 1 + BIRTHS)
    return bool(scores[1:].min() < scores[0])


def search(rng: np.random.Generator) -> float:
    """Return the difference from the base that the best of all births shows on the search's seed."""
    scores = BASE + rng.normal(0, SHARED) + rng.normal(0, OWN, 1 + BIRTHS)
    rungs = Rungs(HEIGHT, ETA, always=0)
    for number, loss in enumerate(scores):
        rungs.record(number, 0, loss)
        while climber := rungs.promotable(lambda _: OWN):
            rungs.promote(*climber)
            rungs.record(climber[0], climber[1] + 1, scores[climber[0]])
    finalists = [number for number in rungs.ranking(rungs.top) if number][:FINALISTS]
    return float(scores[finalists[0]] - scores[0])


def fresh(rng: np.random.Generator, gains: Sequence[float]) -> Losses:
    """Draw losses for 16 fresh seeds of the baseline and of finalists with these gains."""
    shared = BASE + rng.normal(0, SHARED, (16, 1))
    return shared + rng.normal(0, OWN, (16, 1 + len(gains))) - PAIRED * np.array([0.0, *gains])


def confirm(losses: Losses, looks: Sequence[int], level: float, gains: Sequence[float] = ()) -> Confirmed:
    """Confirm as a search does, training only what the decision so far asks for."""
    numbers = range(1, losses.shape[1])
    decision = decide({number: [] for number in numbers}, looks, level)
    while decision.next_look is not None:
        seen = losses[: decision.next_look]
        decision = decide({n: list(zip(seen[:, n], seen[:, 0], strict=True)) for n in numbers}, looks, level)
    trained = [standing.n for standing in decision.standings.values()]
    optimism = [
        float((losses[:n, 0] - losses[:n, number]).mean() - PAIRED * gains[number - 1])
        for number in decision.those("confirmed")
        if gains and (n := decision.standings[number].n)
    ]
    return Confirmed(decision, sum(trained) + max(trained), optimism)


def power(
    rng: np.random.Generator, runs: int, gains: Sequence[float], looks: Sequence[int], level: float
) -> str:
    """Say how often the first finalist is found, and what the confirmation costs."""
    ends = [confirm(fresh(rng, gains), looks, level, gains) for _ in range(runs)]
    found = [end.decision.standings[1].state == "confirmed" for end in ends]
    optimism = [value / PAIRED for end in ends for value in end.optimism]
    trainings = np.mean([end.trainings for end in ends])
    told = f", gain too large by {np.mean(optimism):.2f} sd" if max(gains) and optimism else ""
    return f"{share(found)}, {trainings:.0f} trainings{told}"


def share(found: Sequence[bool]) -> str:
    """Write a share with its exact binomial 95% interval."""
    interval = stats.binomtest(sum(found), len(found)).proportion_ci()
    return f"{np.mean(found):6.2%} ({interval.low:.2%} to {interval.high:.2%})"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
