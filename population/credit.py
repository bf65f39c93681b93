"""Which operators pay: Thompson sampling over what each has gained per unit of cost.

Thompson, "On the likelihood that one unknown probability exceeds another" (1933); with a share of even draws,
because what pays changes as the population does, and so that each operator is tried early at least once.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

FLOOR = 0.2  # of the births draw evenly: those tried least come first
_MEMORY = 0.995  # weight of what was learnt after the next is: old gains count for less
_PRIOR = 2.0  # births that an operator's record is mixed with, at the mean of all


@dataclass
class _Arm:
    births: int = 0
    gains: int = 0  # how many were better than their parent
    weight: float = 0.0
    reward: float = 0.0  # weighted sum
    share: float = 0.0  # of births: a half of one that two operators made
    total: float = 0.0  # gains, by share


@dataclass(frozen=True, kw_only=True)
class Pay:
    """One line of the table."""

    operator: str
    births: int
    better: int  # than their parent, by the first rung
    gain: float  # mean, per birth: sigmas by which a child was better, 0 where it was not


class Credit:
    """Remembers what the children of each operator gained on their parents at the first rung.

    A reward is the gain, 0 where there is none or the child failed, per multiple of the seed model's cost:
    selection keeps the best and forgets the rest, so harmless operators earn nothing.
    """

    def __init__(self, operators: Sequence[str]) -> None:
        self._arms = {name: _Arm() for name in operators}
        self._square = 0.0  # weighted sum of squared rewards

    def learn(self, operator: str, gain: float, cost: float, share: float = 1.0) -> None:
        """Note a birth: sigmas gained on the parent, and its cost as a multiple of the seed model's.

        One that n operators have made says 1/n of each, its `share`.
        """
        if operator not in self._arms:
            return
        reward = max(0.0, gain) / cost
        for arm in self._arms.values():
            arm.weight *= _MEMORY
            arm.reward *= _MEMORY
        arm = self._arms[operator]
        arm.births += 1
        arm.gains += gain > 0
        arm.weight += share
        arm.reward += share * reward
        arm.share += share
        arm.total += share * max(0.0, gain)
        self._square = self._square * _MEMORY + share * reward**2

    def preference(self, rng: random.Random) -> tuple[str, ...]:
        """Return all operators in the order in which the next birth should try them."""
        names = list(self._arms)
        if rng.random() < FLOOR:
            rng.shuffle(names)
            return tuple(sorted(names, key=lambda name: self._arms[name].births))
        weight = sum(arm.weight for arm in self._arms.values())
        mean = sum(arm.reward for arm in self._arms.values()) / weight if weight else 0.0
        spread = math.sqrt(max(0.0, self._square / weight - mean**2)) if weight else 1.0
        drawn = {name: self._draw(arm, mean, spread, rng) for name, arm in self._arms.items()}
        return tuple(sorted(names, key=lambda name: (-drawn[name], name)))

    def table(self) -> list[Pay]:
        """List what each operator has paid so far, the best first; those never tried are left out."""
        rows = [
            Pay(operator=name, births=arm.births, better=arm.gains, gain=arm.total / arm.share)
            for name, arm in self._arms.items()
            if arm.births
        ]
        return sorted(rows, key=lambda row: (-row.gain, row.operator))

    def _draw(self, arm: _Arm, mean: float, spread: float, rng: random.Random) -> float:
        known = _PRIOR + arm.weight
        return rng.gauss((_PRIOR * mean + arm.reward) / known, max(spread, 1e-9) / math.sqrt(known))
