"""Which parameters embed tokens and positions, and which predict tokens: they may learn at other rates."""

from __future__ import annotations

from torch import nn

from foundry.training.experiment import Training
from foundry.training.vocabulary import vocab_size


def embeddings(model: nn.Module) -> set[int]:
    """Return the ids of parameters of all embeddings; a head that is tied to one is the same parameter."""
    return {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}


def head(model: nn.Module) -> set[int]:
    """Return the id of the matrix that predicts tokens, if there is one."""
    size = vocab_size(model)
    heads = [m for m in model.modules() if isinstance(m, nn.Linear) and m.out_features == size]
    return {id(heads[-1].weight)} if heads else set()  # the head comes last, whatever else is as wide


def rate_factors(model: nn.Module, training: Training) -> dict[int, float]:
    """Return what multiplies the learning rate, by id of the parameter; 1 for those that are not named."""
    factors = dict.fromkeys(head(model), training.head_lr_factor)
    return factors | dict.fromkeys(embeddings(model), training.embedding_lr_factor)
