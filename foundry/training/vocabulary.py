"""How many tokens a model knows, read off the model itself."""

from __future__ import annotations

from torch import nn


def vocab_size(model: nn.Module) -> int | None:
    """Return `model.config.vocab_size`, or the length of the first embedding: tokens are embedded first."""
    size = getattr(getattr(model, "config", None), "vocab_size", None)
    if isinstance(size, int):
        return size
    embeddings = (m for m in model.modules() if isinstance(m, nn.Embedding))
    return next((m.num_embeddings for m in embeddings), None)
