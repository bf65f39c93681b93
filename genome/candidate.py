"""A candidate, and the name that its branch bears."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

FILES = ("experiment.yaml", "model.py")  # what every candidate holds, in git's order
SAFE = re.compile(r"[a-z0-9][a-z0-9/_.-]*")  # nothing else is ever passed to git as a name

_LONGEST_SLUG = 60


@dataclass(frozen=True, kw_only=True)
class Step:
    """One edit as the commit of a candidate records it; `words` say it to people."""

    operator: str
    variant: str
    site: str
    words: str


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One commit on one branch of the arena: `model.py` and `experiment.yaml`.

    `number` counts births, 0 is the seed model; `parents` are the commits it was bred from, () for the
    seed model; `steps` are the edits that made it of the first of them, in their order; `words` is the first
    line of the commit's message.
    """

    number: int
    generation: int
    commit: str
    tree: str
    parents: tuple[str, ...]
    name: str
    words: str
    steps: tuple[Step, ...]
    seed: int

    @property
    def branch(self) -> str:
        return "candidate/" + self.name


def candidate_name(*, number: int, generation: int, steps: Sequence[Step]) -> str:
    """Make the name of a candidate, such as `g003-0042-swap-activation-relu2`.

    At most 60 characters follow the numbers; whatever a branch may not carry becomes a hyphen. The birth
    number alone makes the name unique within a run.
    """
    edits = "-".join(f"{step.operator}-{step.variant}" for step in steps)
    slug = re.sub(r"[^a-z0-9.]+", "-", edits.lower())
    slug = re.sub(r"(?<![0-9])\.|\.(?![0-9])", "-", slug)  # a point only within a number: no '..', no '.lock'
    slug = re.sub(r"-+", "-", slug)[:_LONGEST_SLUG].strip("-.")
    name = f"g{generation:03d}-{number:04d}-{slug}".rstrip("-")
    assert SAFE.fullmatch(name)
    return name
