"""Choosing tokens: by temperature, among the likeliest, with generators of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from foundry.decoding.decoder import Decoder
from foundry.keyed import seed_for


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to choose a token."""

    temperature: float = 1.0  # 0 takes the likeliest
    top_k: int | None = None  # only the k likeliest
    top_p: float | None = None  # only the likeliest that together reach this probability; one at least


def probabilities(logits: Tensor, sampling: Sampling) -> Tensor:
    """Turn logits (B, vocab) into what is drawn from, (B, vocab): temperature first, then top-k, then top-p.

    Top-p (Holtzman et al., "The Curious Case of Neural Text Degeneration", 2020) counts what top-k has left.
    """
    logits = logits.float()
    if sampling.temperature == 0:
        return F.one_hot(logits.argmax(dim=-1), logits.size(-1)).float()
    logits = logits / sampling.temperature
    if sampling.top_k is not None:
        kth = logits.topk(min(sampling.top_k, logits.size(-1)), dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < kth, -torch.inf)
    chances = logits.softmax(dim=-1)
    if sampling.top_p is not None:
        likeliest, order = chances.sort(dim=-1, descending=True, stable=True)
        before = likeliest.cumsum(dim=-1) - likeliest
        before[:, 0] = -torch.inf  # so that the likeliest always stays
        chances = torch.zeros_like(chances).scatter(1, order, likeliest * (before < sampling.top_p))
        chances = chances / chances.sum(dim=-1, keepdim=True)
    return chances


def generators(seed: int, rows: int) -> list[torch.Generator]:
    """Make a generator for each row of a batch: a row's text does not depend on how many there are."""
    return [torch.Generator().manual_seed(seed_for("sample", seed, row)) for row in range(rows)]


def draw(chances: Tensor, chance: Sequence[torch.Generator]) -> Tensor:
    """Draw one token for each row of probabilities (B, vocab), with a generator each; (B, 1)."""
    rows = zip(chances, chance, strict=True)
    return torch.stack([torch.multinomial(row, 1, generator=generator) for row, generator in rows])


def generate(
    decoder: Decoder,
    prompt: Tensor,
    tokens: int,
    sampling: Sampling,
    chance: Sequence[torch.Generator],
    *,
    block_size: int,
    stop: int | None = None,
) -> Iterator[Tensor]:
    """Extend token ids (B, T) by up to `tokens` more; yield each time the ids (B,) that come next.

    A row that has drawn `stop` goes on with it; when all have, that is the end. As in nanoGPT the context is
    at most the last `block_size` tokens. A cache cannot let the oldest of them go, since all after it have
    seen it, and learned positions would be others; so where nanoGPT moves its window along by one, for every
    token anew, here the window is emptied of its older half and filled again. Up to the token that makes the
    text longer than a block, both are the same.
    """
    assert len(chance) == prompt.size(0)
    decoder.reset()
    logits = decoder.extend(prompt[:, -block_size:])
    recent = prompt
    ended = torch.zeros(prompt.size(0), dtype=torch.bool)
    for i in range(tokens):
        token = draw(probabilities(logits, sampling), chance)
        if stop is not None:
            token[ended] = stop
            ended |= token[:, 0] == stop
        yield token[:, 0]
        if i + 1 == tokens or bool(ended.all()):
            return
        recent = torch.cat((recent, token), dim=1)[:, -block_size:]
        if decoder.length == block_size:
            decoder.reset()
            logits = decoder.extend(recent[:, -max(1, block_size // 2) :])
        else:
            logits = decoder.extend(token)
