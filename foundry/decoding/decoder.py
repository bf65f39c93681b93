"""Logits for the next token, from a cache where that is as good as running the whole context again."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor, nn

import foundry.decoding.rules  # noqa: F401  (fills the table that a Tail looks into)
from foundry.decoding.cache import Cache, ChangedError
from foundry.decoding.tail import Pass, Tail, tail

TOLERANCE = 1e-4  # in logits, relative to the largest if that is above 1
_SINGLES = 4  # tokens given one by one, near the start and at the end of a check


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

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model, reason="")
        self._cache = Cache()
        self._cached = 0  # tokens

    @property
    def bytes_per_token(self) -> int:
        return self._cache.bytes_per_token

    def reset(self) -> None:
        super().reset()
        self._cache, self._cached = Cache(), 0

    def _logits(self, context: Tensor) -> Tensor:
        if self.reason or context.size(1) == 1:  # an axis of one position could be any axis of size 1
            return super()._logits(context)
        try:
            with contextlib.suppress(ChangedError):
                return self._from_cache(context)
            self._cache, self._cached = Cache(), 0  # from this length on, the source works in another way
            return self._from_cache(context)
        except Exception as error:  # a source may well do with plain tensors what it cannot do with a Tail
            self.reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            self._cache = Cache()
            return super()._logits(context)

    def _from_cache(self, context: Tensor) -> Tensor:
        total = context.size(1)
        self._cache.begin(total)
        during = Pass(total, total - self._cached, self._cache)
        logits: Tensor = self._model(tail(context[:, self._cached :], -1, during))[0]
        self._cache.end()
        self._cached = total
        return (logits.as_subclass(Tensor) if isinstance(logits, Tail) else logits)[:, -1]


def best_decoder(model: nn.Module, *, vocab_size: int, length: int, rows: int = 1) -> Decoder:
    """Return a decoder with a cache if `check` finds nothing against it for (rows, length) tokens.

    Otherwise one that computes everything again, whose `reason` says why.
    """
    problem = check(model, vocab_size=vocab_size, length=length, rows=rows)
    return Decoder(model, reason=problem) if problem else CachedDecoder(model)


def check(model: nn.Module, *, vocab_size: int, length: int, rows: int = 1) -> str:
    """Compare logits with and without a cache on random tokens; say in a few words what is wrong, or nothing.

    The tokens come in pieces, each as long as all before it, so that what a source does only from some length
    on meets a cache from before; single tokens come near the start and at the end.
    """
    cached, plain = CachedDecoder(model), Decoder(model)
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
