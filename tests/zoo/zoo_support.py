"""Small models and checkpoints that the tests of the zoo share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from foundry.seed import read_model
from foundry.source import build_model, load_module
from foundry.training import init

torch.set_num_threads(1)

VOCABULARY = 29
SMALL: dict[str, object] = {
    **{"n_layer": 2, "n_head": 4, "n_embd": 32, "block_size": 24, "vocab_size": VOCABULARY}
}
LLAMA: dict[str, object] = {**SMALL, "n_kv_head": 2, "n_ffn": 48}


def stirred(base: str, args: Mapping[str, object], seed: int = 0) -> Any:
    """Build a seed model whose norms and biases are far from their beginnings."""
    model = init.initialised(lambda: build_model(load_module(read_model(base)), args), seed).eval()
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=noise), alpha=0.2)
    return model


def weights(model: Any) -> dict[str, Tensor]:
    """Return a model's parameters, each once and with memory of its own."""
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def hugging_face(model: Any) -> dict[str, Tensor]:
    """Name a Llama's weights as Hugging Face does."""
    return {
        name if name == "lm_head.weight" else f"model.{name}": tensor
        for name, tensor in weights(model).items()
    }


def same_function(one: Any, other: Any) -> bool:
    """Tell whether two models give the same logits, bit for bit."""
    idx = torch.randint(VOCABULARY, (2, 24), generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        return torch.equal(one(idx, idx)[0], other(idx, idx)[0])
