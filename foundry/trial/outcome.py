"""What became of a trial: exactly one of six frozen dataclasses. A failure is never a number.

Free of torch, because the driver and the population speak of outcomes too. `encode` and `decode` carry
them across processes and into the ledger as JSON.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, dataclass, fields


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Trained to its rung and scored by the harness."""

    loss: float  # nats per token over the whole split
    bits_per_byte: float
    params: int
    train_flops: int  # forward, backward and the optimizer's products, of the whole training up to this rung
    work: int  # nanoseconds that the training up to this rung is priced at, the same on every machine
    tokens: int  # training tokens up to this rung
    tokens_per_second: float  # of training in this trial; for display, never for a decision
    seconds: float  # wall clock of this trial; for display, never for a decision
    train_seconds: float  # of these, spent in building the model and training it
    kv_bytes_per_token: int  # of the cache that decoding.kv_cache names, for a full block
    peak_memory: int  # bytes, resident
    inherited: int = 0  # parameters that a checkpoint, not chance, gave their first values
    function: str = ""  # the same for programs that compute the same; "" where training went on from a rung
    recalled: bool = False  # taken over from a program that computes the same, without training again


AT_SCORING = " at scoring"  # ends the name of a gate that only a trained model meets


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """Stopped by a gate, before it cost any training or, by some, when it was scored."""

    gate: str
    reason: str

    @property
    def trained(self) -> bool:
        """Whether it has cost its whole training."""
        return self.gate.endswith(AT_SCORING)


@dataclass(frozen=True, kw_only=True)
class Crashed:
    """Raised, or its process died."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class TimedOut:
    """Ran past its wall-clock limit and was killed."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class OutOfMemory:
    """Asked for more memory than its limit."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Diverged:
    """Its training loss, or its score, was not finite."""

    step: int


Outcome = Scored | Rejected | Crashed | TimedOut | OutOfMemory | Diverged
_KINDS: dict[str, type[Outcome]] = {
    kind.__name__: kind for kind in (Scored, Rejected, Crashed, TimedOut, OutOfMemory, Diverged)
}


def encode(outcome: Outcome) -> str:
    """Write an outcome as one line of JSON."""
    return json.dumps({"kind": type(outcome).__name__, **asdict(outcome)}, sort_keys=True)


def decode(text: str) -> Outcome:
    """Read what `encode` wrote.

    Raises:
        ValueError: the text is not an outcome.
    """
    body = json.loads(text)
    kind = _KINDS.get(body.pop("kind", "")) if isinstance(body, dict) else None
    if kind is None or not _needed(kind) <= set(body) <= {field.name for field in fields(kind)}:
        raise ValueError(f"not an outcome: {text[:200]}")
    return kind(**body)


def _needed(kind: type[Outcome]) -> set[str]:
    """Return the fields that every record has; later ones have a default, which earlier records get."""
    return {field.name for field in fields(kind) if field.default is MISSING}
