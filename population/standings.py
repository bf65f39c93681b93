"""What a board shows of a run, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Row:
    """A candidate that has a score, at its highest rung."""

    rank: int  # from 1
    name: str  # the branch without `candidate/`, such as g003-0042-swap-activation-relu2
    words: str  # its edit in words, the telling part first
    rung: str  # "T/9", "T/3", "T"
    loss: float  # nats per token
    sigma: float | None  # of one score at this rung
    versus_parent: float | None  # difference of losses at this rung; None where there is no such pair
    versus_seed: float | None
    params: int
    tokens_per_second: float
    status: str  # "champion", "incumbent", "seed", "promoted", "scored"
    pareto: bool  # on the front
    flops: int  # of training, up to this rung
    kv_bytes: int  # per token


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A candidate without a score: what stopped it is a word and a reason, never a number."""

    name: str
    words: str
    kind: str  # "rejected", "crashed", "timed out", "out of memory", "diverged"
    reason: str  # such as the gate and what it says


@dataclass(frozen=True, kw_only=True)
class Running:
    """A trial that runs now."""

    name: str
    words: str
    rung: str
    seed: int
    started_seconds_ago: float


@dataclass(frozen=True, kw_only=True)
class Standings:
    """A run at one moment."""

    arena: str  # its path, as the user gave it
    dataset: str  # name and first 8 hexadecimal digits of its sha256
    phase: str  # "base", "search", "confirm", "done"
    generation: int
    generations: int | None
    births: int
    births_planned: int | None  # None where a budget ends the search
    share: float  # of the run that is done: of its births, or of its budget
    evaluated: int  # candidates with a score
    rejected: Mapping[str, int]  # by gate
    failed: Mapping[str, int]  # by kind of failure
    duplicates: int  # not trained, because the same program was
    tokens_spent: int
    flops_spent: int
    seconds: float
    seconds_left: float | None  # None while nobody can tell
    rows: tuple[Row, ...]  # best first; the board draws as many as fit
    failures: tuple[Failure, ...]  # in the order of births
    running: tuple[Running, ...]
    log: str  # the latest event, one line
    sandbox: str  # the level that trials run under, or ran under


def as_json(standings: Standings) -> dict[str, Any]:
    """Return the standings as JSON's own types, field by field."""
    return {
        **vars(standings),
        "rejected": dict(standings.rejected),
        "failed": dict(standings.failed),
        "rows": [dict(vars(row)) for row in standings.rows],
        "failures": [dict(vars(failure)) for failure in standings.failures],
        "running": [dict(vars(trial)) for trial in standings.running],
    }
