"""Small models with adapters that say something, for the tests of LoRA."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from foundry.lora import adapt as adapting
from foundry.lora.settings import Lora
from foundry.seed import read_model
from foundry.source import build_model, load_module
from foundry.training import init

torch.set_num_threads(1)

ROOT = Path(__file__).parents[2]
VOCABULARY = 13
SIZES: dict[str, object] = {
    "n_layer": 2,
    "n_head": 2,
    "n_embd": 16,
    "block_size": 8,
    "vocab_size": VOCABULARY,
}


def plain(base: str = "v2", **changes: object) -> nn.Module:
    """Build a seed model in a small size, the same each time."""
    sizes = {**SIZES, **({"n_kv_head": 1} if base == "v2" else {}), **changes}
    return from_source(read_model(base), sizes)


def from_source(source: str, sizes: dict[str, object]) -> nn.Module:
    """Build the model of a source."""
    module = load_module(source)
    return init.initialised(lambda: build_model(module, sizes), 0).eval()


def adapted(model: nn.Module, settings: Lora) -> nn.Module:
    """Attach adapters and let all that trains say something."""
    adapting.adapt(model, settings, 0)
    stir(model)
    return model


def stir(model: nn.Module) -> None:
    """Move everything that trains away from where it started."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.2 * torch.randn(parameter.shape, generator=generator)


def tokens() -> Tensor:
    """Return some token ids, (3, 8)."""
    return torch.randint(VOCABULARY, (3, 8), generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def logits(model: nn.Module) -> Tensor:
    """Return the logits of these tokens, (3, 8, VOCABULARY)."""
    idx = tokens()
    found: Tensor = model.eval()(idx, idx)[0]
    return found
