"""Logits for the next token, from a cache where that is as good as running the whole context again."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

import foundry.decoding.rules  # noqa: F401  (fills the table that a Tail looks into)
from foundry.decoding.cache import Cache, ChangedError, Survey
from foundry.decoding.kinds import EXACT
from foundry.decoding.layers import replaced, replacements
from foundry.decoding.tail import Pass, Tail, tail

TOLERANCE = 1e-4  # in logits, relative to the largest if that is above 1
_SINGLES = 4  # tokens given one by one, near the start and at the end of a check


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to keep a cache."""

    kind: str = EXACT  # one of KINDS
    layers: bool = True  # run reference modules in a form of their own
    windows: Mapping[int, int] = field(default_factory=dict)  # of entries, as `Survey` finds them


class Decoder:
    """Keeps a context and computes all of it again for every token.

    `reason` says in a few words why there is no cache; it is empty where there is one.
    """

    def __init__(self, model: nn.Module, reason: str = "not asked for") -> None:
        self.reason = reason
        self._model = model.eval()
        self._context: Tensor | None = None  # (B, T)

    @property
    def length(self) -> int:
        """Tokens of context."""
        return 0 if self._context is None else self._context.size(1)

    @property
    def newest(self) -> list[int]:
        """The last token of each row."""
        return [] if self._context is None else self._context[:, -1].tolist()

    @property
    def bytes_per_token(self) -> int:
        """Bytes of cache for one token more in every row of the batch."""
        return 0

    def reset(self) -> None:
        """Forget the context."""
        self._context = None

    @torch.no_grad()
    def extend(self, new: Tensor) -> Tensor:
        """Append token ids (B, n) to the context; return the logits (B, vocab) after the last of them."""
        self._context = new if self._context is None else torch.cat((self._context, new), dim=1)
        return self._logits(self._context)

    def _logits(self, context: Tensor) -> Tensor:
        logits: Tensor = self._model(context)[0]
        return logits[:, -1]


class CachedDecoder(Decoder):
    """Computes new tokens alone; from its first failure on, everything again.

    That it gives the same logits is not certain before `check`.
    """

    def __init__(self, model: nn.Module, plan: Plan | None = None) -> None:
        super().__init__(model, reason="")
        self.plan = plan or Plan()
        self._layers = replacements(model) if self.plan.layers else []
        self._empty()

    @property
    def bytes_per_token(self) -> int:
        """Bytes of cache for one token of the context, in every row of the batch: their mean."""
        return math.ceil(self._cache.bytes_at(max(1, self.length)) / max(1, self.length))

    def reset(self) -> None:
        super().reset()
        self._empty()

    @property
    def cache(self) -> Cache:
        """What is kept of the context."""
        return self._cache

    def _empty(self) -> None:
        self._cache = Cache(self.plan.kind, self.plan.windows)
        self._cached = 0  # tokens

    def _logits(self, context: Tensor) -> Tensor:
        if self.reason or context.size(1) == 1:  # an axis of one position could be any axis of size 1
            return super()._logits(context)
        try:
            with contextlib.suppress(ChangedError):
                return self._from_cache(context)
            self._empty()  # from this length on, the source works in another way
            return self._from_cache(context)
        except Exception as error:  # a source may well do with plain tensors what it cannot do with a Tail
            self.reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            self._empty()
            return super()._logits(context)

    def _from_cache(self, context: Tensor) -> Tensor:
        total = context.size(1)
        with replaced(self._layers):
            logits = newest_logits(self._model, context, self._cached, self._cache)
        self._cached = total
        return logits[:, -1]


def newest_logits(
    model: nn.Module, context: Tensor, cached: int, cache: Cache, *, every: bool = False
) -> Tensor:
    """Run a model on what follows `cached` tokens of a context (B, T) of at least two tokens.

    The logits are those that the model gives without targets; of every new position, if asked.

    Raises:
        ChangedError: the cache is of a pass that went another way.
    """
    total = context.size(1)
    cache.begin(total, total - cached)
    new = tail(context[:, cached:], -1, Pass(total, total - cached, cache))
    logits: Tensor = (model(new, new) if every else model(new))[0]
    cache.end()
    if every and not isinstance(logits, Tail):
        return logits[:, cached:]
    return logits.as_subclass(Tensor) if isinstance(logits, Tail) else logits


def best_decoder(
    model: nn.Module, *, vocab_size: int, length: int, rows: int = 1, kind: str = EXACT
) -> Decoder:
    """Return a decoder with a cache if `check` finds nothing against it for (rows, length) tokens.

    Otherwise one that computes everything again, whose `reason` says why. What is checked is a cache that
    rounds nothing; one of another kind keeps the same tensors, less exactly.
    """
    for plan in (Plan(windows=windows(model, length)), Plan(layers=False)):
        problem = check(model, vocab_size=vocab_size, length=length, rows=rows, plan=plan)
        if not problem:
            return CachedDecoder(model, replace(plan, kind=kind))
    return Decoder(model, reason=problem)


@torch.no_grad()
def windows(model: nn.Module, length: int) -> dict[int, int]:
    """Find which entries of a cache need no more than their last positions in a text of `length` tokens."""
    survey = Survey()
    model.eval()
    with contextlib.suppress(Exception), replaced(replacements(model)):  # whatever it is, `check` meets it
        newest_logits(model, torch.zeros(1, length, dtype=torch.long), 0, survey)
        return survey.found
    return {}


def check(model: nn.Module, *, vocab_size: int, length: int, rows: int = 1, plan: Plan | None = None) -> str:
    """Compare logits with and without a cache on random tokens; say in a few words what is wrong, or nothing.

    The tokens come in pieces, each as long as all before it, so that what a source does only from some length
    on meets a cache from before; single tokens come near the start and at the end.
    """
    cached, plain = CachedDecoder(model, plan), Decoder(model)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(vocab_size, (rows, length), generator=generator)
    for start, stop in _pieces(length):
        piece = tokens[:, start:stop]
        left, right = cached.extend(piece), plain.extend(piece)
        if cached.reason:
            return cached.reason
        apart = (left - right).abs().max().item() / max(1.0, right.abs().max().item())
        if not apart <= TOLERANCE:
            return f"with one, logits after {stop} tokens are off by {apart:.2g}"
    return ""


def _pieces(length: int) -> list[tuple[int, int]]:
    doubling = [3 << i for i in range(length.bit_length())]
    singles = [*range(4, 4 + _SINGLES), *range(length - _SINGLES, length)]
    ends = sorted({end for end in [*doubling, *singles] if 0 < end < length} | {length})
    return list(zip([0, *ends], ends, strict=False))
