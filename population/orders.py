"""What a search asks for: births, and trials of candidates at a rung with a seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Birth:
    """Who is to be born, of whom, and by which operators."""

    number: int
    generation: int
    parent: int
    mate: int | None = None  # the second parent; where the two do not merge, the first has the child alone
    operators: tuple[str, ...] = ()  # to be tried in this order
    edits: int = 1  # by which it should differ from its parent, each of another operator
    numbers: tuple[tuple[str, float], ...] = ()  # what the sampler proposes, for the operator `numbers`


@dataclass(frozen=True, kw_only=True)
class Reduction:
    """A candidate without some of the edits that made it, to see what they are worth."""

    of: int
    without: tuple[int, ...]  # places in its lineage, the first edit of the seed model is 1


@dataclass(frozen=True, kw_only=True)
class Order:
    """One trial to run; where `birth` or `reduction` is given, the candidate has to be made first."""

    index: int = -1  # given when it is issued
    number: int
    rung: int
    seed: int
    split: str = "val_search"
    birth: Birth | None = None
    reduction: Reduction | None = None


@dataclass(frozen=True, kw_only=True)
class Born:
    """What the driver says of a candidate once it exists."""

    operators: tuple[str, ...]  # that made it of its parent, an edit each; none where nothing was born
    numbers: Mapping[str, float]  # by name, those that a sampler may propose


@dataclass(frozen=True, kw_only=True)
class Gene:
    """The range of one number of a candidate."""

    low: float
    high: float
    log: bool = False
    whole: bool = False


@dataclass(frozen=True, kw_only=True)
class Menu:
    """What births may be made of."""

    operators: tuple[str, ...] = ()
    genes: Mapping[str, Gene] | None = None  # by name, where numbers are sampled
    numbers: Mapping[str, float] = field(default_factory=dict)  # the seed model's, by name
