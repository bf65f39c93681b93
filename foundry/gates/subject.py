"""What the gates examine: a source with its configuration, and what several gates need of it, made once."""

from __future__ import annotations

import ast
import dataclasses
import types
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from foundry.gates.unfilled import Unfilled
from foundry.source import FILENAME, build_model, load_module


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A candidate as the gates see it."""

    source: str
    model_args: Mapping[str, object]  # of the real configuration, vocab_size included
    batch_size: int  # of the real training
    max_parameters: int = 200_000_000
    max_activation_bytes: int = 4_000_000_000  # kept for one backward pass of a whole batch, in float32

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree of the source."""
        return ast.parse(self.source, FILENAME)

    @cached_property
    def module(self) -> types.ModuleType:
        """The executed source."""
        return load_module(self.source)

    @cached_property
    def mini_args(self) -> dict[str, object]:
        """The configuration of the miniature."""
        return miniature(self.model_args, self.module)

    @property
    def vocab_size(self) -> int:
        """Distinct tokens of the miniature."""
        return int(str(self.mini_args["vocab_size"]))

    @property
    def block_size(self) -> int:
        """Context length of the miniature."""
        return int(str(self.mini_args["block_size"]))

    @cached_property
    def skeleton(self) -> nn.Module:
        """The real configuration without its memory: on the meta device, where the model can be built there.

        A model that reads values while it is built, as in `torch.linspace(...).tolist()`, is built on the
        CPU.
        """
        try:
            with torch.device("meta"), Unfilled():
                return build_model(self.module, self.model_args)
        except Exception:
            return build_model(self.module, self.model_args)

    def fresh(self, seed: int = 0) -> nn.Module:
        """Build a miniature of its own for a gate, initialised under `seed`."""
        torch.default_generator.manual_seed(seed)
        return build_model(self.module, self.mini_args)

    def stirred(self) -> nn.Module:
        """Build a miniature with noise on every parameter."""
        return stir(self.fresh())

    def tokens(self, rows: int, length: int, seed: int = 0) -> Tensor:
        """Draw token ids (rows, length) for the miniature."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(self.vocab_size, (rows, length), generator=generator)

    def others(self, idx: Tensor) -> Tensor:
        """Replace every token of `idx` by a different one."""
        generator = torch.Generator().manual_seed(2)
        return (idx + torch.randint(1, self.vocab_size, idx.shape, generator=generator)) % self.vocab_size


def stir(model: nn.Module, seed: int = 1) -> nn.Module:
    """Add noise to every parameter, in place.

    Projections and scales that start at zero would hide whatever flows through them.
    """
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=noise), alpha=0.1)
    return model


def miniature(model_args: Mapping[str, object], module: types.ModuleType) -> dict[str, object]:
    """Shrink a configuration to what runs in half a millisecond, keeping all that decides how it is wired.

    2 layers, 2 to 6 heads of 16 in the ratio that heads and key-value heads really have, block 16, 32 tokens,
    no dropout. Only fields that GPTConfig has are set; others, as `rope_theta` or `bias`, keep their value.
    """
    fields = dataclasses.fields(module.GPTConfig)
    real: dict[str, Any] = {field.name: field.default for field in fields} | dict(model_args)
    heads, kv_heads = _mini_heads(real.get("n_head"), real.get("n_kv_head"))
    shrunk = {
        "n_layer": 2,
        "n_head": heads,
        "n_kv_head": kv_heads,
        "n_embd": 16 * heads,
        "block_size": 16,
        "vocab_size": 32,
        "dropout": 0.0,
    }
    return dict(model_args) | {key: value for key, value in shrunk.items() if key in real}


def _mini_heads(heads: Any, kv_heads: Any) -> tuple[int, int]:
    """Find the fewest heads, and an even number of them, for a ratio of query to key-value heads."""
    if not isinstance(heads, int) or not isinstance(kv_heads, int) or kv_heads < 1 or heads < kv_heads:
        return 2, 2
    return {1: (2, 2), 2: (4, 2), 3: (6, 2)}.get(heads // kv_heads, (4, 1))
