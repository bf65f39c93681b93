"""All that decides a run, apart from the seed model, the operators and the data."""

from __future__ import annotations

from dataclasses import dataclass

UNITS = ("work", "flops", "tokens")
SEED_MODEL = 0  # the birth number of the model that everything is compared with


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The numbers and names that a search is run by; its ledger records them first."""

    seed: int = 0
    generations: int = 20
    population: int = 8  # births in a generation
    lag: int = 3  # orders that may be under way while the next is decided; more use more workers
    tokens: int  # of a full training of the seed model
    unit: str = "work"  # of which a full training of any other gets as much: "work", "flops" or "tokens"
    update: int = 0  # tokens of one update of the seed model; the gates are charged as two
    budget: int | None = None  # of the whole run, confirmation included; without it, births end the search
    budget_unit: str = "flops"  # or "tokens", or "seconds"
    eta: int = 3
    height: int = 3  # rungs: tokens / 9, tokens / 3, tokens
    policy: str = "tournament"
    objectives: tuple[str, ...] = ("loss", "work")
    aging: bool = True  # the oldest leaves the living; else the worst
    pairing: bool = True  # all candidates see the same batches in the same order
    bandit: bool = True  # operators are drawn by what they have paid; else each as likely
    sampler: str = "tpe"  # of the numbers of experiment and model
    number_shares: tuple[float, float] = (0.75, 0.3)  # of births, in the first generation and later, for it
    sizes: tuple[int, ...] = (8, 5, 3, 2, 1)  # edits of a birth: each in turn at first, then what has paid
    living: int = 12  # how many of an island may be parents
    islands: int = 1
    migration: int = 16  # births on an island from one arrival to the next
    crossover: float = 0.1  # of the births have two parents
    inherit: bool = False  # children start from their parent's weights, where they fit
    base_seeds: int = 3  # of the seed model at the first rung, for the noise between seeds
    race_seeds: int = 3  # more on which one that scores better than the incumbent has to do so; 0 for none
    race_share: float = 0.1  # of what has been spent that races may take: births come first
    finalists: int = 3
    looks: tuple[int, ...] = (4, 10, 16)  # fresh seeds after which confirmation may end
    ablation_seeds: int = 4  # for each edit of the champion; 0 leaves it as it is

    def __post_init__(self) -> None:
        assert self.unit in UNITS, self.unit
        assert self.budget_unit in ("flops", "tokens", "seconds"), self.budget_unit

    @property
    def births(self) -> int:
        """Candidates to be born in the whole run, at most."""
        return self.generations * self.population

    @property
    def top(self) -> int:
        """The rung of the full budget."""
        return self.height - 1

    def share(self, rung: int) -> int:
        """Return what part of a full training a rung is: 9 for a ninth."""
        return int(self.eta ** (self.top - rung))
