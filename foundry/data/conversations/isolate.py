"""Keep conversations in a row from seeing each other, in models whose forward takes only tokens and targets.

Such a model attends causally, by `F.scaled_dot_product_attention(..., is_causal=True)` in most sources.
While its forward runs, that function is given a mask besides: a token attends only within its own
conversation. What mixes positions in other ways is not reached, neither attention written out by hand nor a
convolution; so a model is asked, by `leak`, whether one conversation still changes what it says of the
next. Attention to parts of a row at a time, as windows in chunks are, has no place for such a mask.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

LEAK = 1e-4  # rounding stays below, a token that is seen does not
_STIR = 0.05  # what a training may open later, such as a gate that is zero at first, is open for the question


class PartsError(ValueError):
    """A model attends to parts of a row at a time."""


def isolate(model: nn.Module, end: int) -> None:
    """Make a model treat what stands between two ends of a text in a row as a text of its own, in place.

    Not for gradient checkpointing, which computes blocks again when the mask is no longer there.
    """
    _hooked(model, end)


def _hooked(model: nn.Module, end: int) -> _Apart:
    apart = _Apart(end)
    model.register_forward_pre_hook(apart.enter, with_kwargs=True)
    model.register_forward_hook(apart.leave, always_call=True)
    return apart


def release(model: nn.Module) -> None:
    """Undo `isolate`, if it was done."""
    for hooks in (model._forward_pre_hooks, model._forward_hooks):
        for number, hook in list(hooks.items()):
            if isinstance(getattr(hook, "__self__", None), _Apart):
                del hooks[number]


def isolable(model: nn.Module, *, vocab_size: int, end: int, block_size: int) -> float:
    """Return the `leak` that would be left if the model were isolated; a copy of it is tried.

    Raises:
        PartsError: it cannot be, in a block of this size.
    """
    twin = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator).to(parameter), alpha=_STIR)
    apart = _hooked(twin, end)
    far = leak(twin, vocab_size=vocab_size, end=end, block_size=block_size)
    asked = apart.masked
    block = torch.zeros(1, block_size, dtype=torch.long, device="meta")
    try:
        twin.to("meta")(block, block)  # a whole one, but for its arithmetic
    except RuntimeError:  # it keeps tensors out of sight, which are not on this device
        return far
    if apart.masked != asked:
        raise PartsError("it attends to long rows in another way than to short ones")
    return far


def documents(idx: Tensor, end: int) -> Tensor:
    """Number the text that each token belongs to, (B, T); the second of two ends is its last token."""
    ends = idx == end
    second = F.pad(ends[:, 1:] & ends[:, :-1], (1, 0)).long()
    return second.cumsum(dim=1) - second


@torch.no_grad()
def leak(model: nn.Module, *, vocab_size: int, end: int, block_size: int) -> float:
    """Return how far the logits of a second text move when the first one, of the same length, is another.

    In units of the largest logit, where that is above 1.
    """
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(vocab_size - 1, (2, min(block_size, 64)), generator=generator)
    tokens += tokens >= end  # none of them is `end`
    half = tokens.size(1) // 2
    tokens[1, half:] = tokens[0, half:]
    tokens[:, half - 2 : half] = end
    was_training = model.training
    model.eval()
    logits = model(tokens, tokens)[0][:, half:]
    model.train(was_training)
    return float((logits[0] - logits[1]).abs().max() / max(1.0, float(logits.abs().max())))


class _Apart:
    """Hooks that hold the mask while a forward pass runs."""

    def __init__(self, end: int) -> None:
        self.end = end
        self.running: list[_WithinDocuments] = []
        self.masked = 0  # attentions of the last forward pass

    def enter(self, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        idx = args[0] if args else kwargs["idx"]
        mode = _WithinDocuments(documents(idx, self.end))
        mode.__enter__()  # type: ignore[no-untyped-call]
        self.running.append(mode)

    def leave(self, model: nn.Module, args: Any, output: Any) -> None:
        mode = self.running.pop()
        mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        self.masked = mode.masked


class _WithinDocuments(TorchFunctionMode):
    """Give scaled_dot_product_attention a mask by documents, (B, T), besides what it has."""

    def __init__(self, numbers: Tensor) -> None:
        super().__init__()
        self.same = (numbers[:, :, None] == numbers[:, None, :])[:, None]  # (B, 1, T, T)
        self.causal = self.same.tril()
        self.masked = 0

    def __torch_function__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is not F.scaled_dot_product_attention:
            return func(*args, **kwargs)
        self.masked += 1
        names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        own = self.causal if given.pop("is_causal", False) else self.same
        if own.shape[-2:] != (given["query"].size(-2), given["key"].size(-2)):
            raise PartsError("it attends to parts of a row at a time")
        mask = given.pop("attn_mask", None)
        if mask is None:
            mask = own
        elif mask.dtype == torch.bool:
            mask = mask & own
        else:
            mask = torch.where(own, mask, -torch.inf)
        return func(**given, attn_mask=mask)
