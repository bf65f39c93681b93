"""What a model predicts when its cache rounds, for a whole text at once; and how large that cache is.

A group of positions is rounded when it is complete, and seen as it came until then. So a text that passes a
group at a time gives the logits that it gives token by token, in a thirty-second of the passes.
"""

from __future__ import annotations

import contextlib
import math

import torch
from torch import Tensor, nn

from foundry.decoding.cache import Cache
from foundry.decoding.decoder import newest_logits
from foundry.decoding.grouped import GROUP
from foundry.decoding.kinds import EXACT
from foundry.decoding.layers import replaced, replacements


@torch.no_grad()
def logits(model: nn.Module, tokens: Tensor, kind: str) -> Tensor:
    """Return the logits (B, T, vocab) of token ids (B, T), at least two, as decoding with a cache has them.

    Raises:
        Exception: the source does something that a cache cannot follow; its own, or ChangedError.
    """
    cache, found = Cache(kind), []
    with replaced(replacements(model)):
        for start in range(0, tokens.size(1), GROUP):
            # a pass needs two positions; a text of so few is seen whole
            found.append(newest_logits(model, tokens[:, : start + GROUP], start, cache, every=True))
    return torch.cat(found, dim=1)


@torch.no_grad()
def predicted(model: nn.Module, tokens: Tensor, kind: str) -> Tensor:
    """Return logits (B, T, vocab) as decoding with such a cache has them, or where it would keep none.

    A source that a cache cannot follow is decoded in full, and so is one without anything to round.
    """
    if kind != EXACT and tokens.size(1) > 1:
        with contextlib.suppress(Exception):  # its own, if the source is wrong, comes again
            return logits(model, tokens, kind)
    found: Tensor = model(tokens, tokens)[0]
    return found


@torch.no_grad()
def bytes_per_token(model: nn.Module, block_size: int, kind: str) -> int:
    """Return the bytes of cache for one token of a full block, on the mean; works on the meta device.

    What lies before a window counts for nothing, and a latent for what it is. The newest 31 positions, or a
    whole block that is shorter, count as exact: so they are before their group is complete.

    Raises:
        Exception: as `logits` does.
    """
    cache = Cache(kind)
    first = max(2, block_size // 2)
    with replaced(replacements(model)):
        idx = torch.zeros(1, block_size, dtype=torch.long, device=next(model.parameters()).device)
        for old, total in ((0, first), (first, block_size)):
            if total > old:
                newest_logits(model, idx[:, :total], old, cache)
    return math.ceil(cache.bytes_at(block_size) / block_size)
