"""The seed model v2 as a Llama; there is no config.json that is for it rather than for `llama`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from foundry.zoo.families import llama

if TYPE_CHECKING:
    from torch import Tensor

MODEL_TYPES: tuple[str, ...] = ()
_NAMES = {
    ".attn.": ".self_attn.",
    ".input_norm.": ".input_layernorm.",
    ".post_norm.": ".post_attention_layernorm.",
}


def reads(config: Mapping[str, Any]) -> bool:
    """Say that no config.json is for this seed model."""
    return False


def config(args: Mapping[str, Any]) -> dict[str, Any] | None:
    """Write config.json with every value spelled out."""
    fixed = {"n_ffn": int(8 * args["n_embd"] / 3), "tied": False, "qkv_bias": False, "window": None}
    return llama.config({**args, **fixed, **llama.UNSCALED})


def theirs(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name weights as they do."""
    renamed = {}
    for name, weight in weights.items():
        for ours, other in _NAMES.items():
            name = name.replace(ours, other)
        renamed[name] = weight
    return llama.theirs(renamed)
