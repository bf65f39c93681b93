"""GPT-2 in config.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from foundry.zoo.families._reading import expect, need

if TYPE_CHECKING:
    from torch import Tensor

MODEL_TYPES = ("gpt2",)
TANH = ("gelu_new", "gelu_pytorch_tanh")
_LINEAR = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
_BIASED = (*_LINEAR, "ln_1", "ln_2", "ln_f")
_SIZES = {
    "n_layer": "n_layer",
    "n_head": "n_head",
    "n_embd": "n_embd",
    "vocab_size": "vocab_size",
    "block_size": "n_positions",
    "norm_eps": "layer_norm_epsilon",
}
_FIXED = {  # what a GPT-2 is; released files leave most of it out
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
}


def reads(config: Mapping[str, Any]) -> bool:
    """Tell whether a config.json of a known model type is for this seed model."""
    return config["model_type"] in MODEL_TYPES and config.get("activation_function") != "gelu"


def model_args(config: Mapping[str, Any]) -> dict[str, object]:
    """Read the fields of GPTConfig.

    Raises:
        UserError: a value is missing, or is one that the seed model `gpt2` does not implement.
    """
    need(config, "activation_function")
    expect(config, "activation_function", *TANH)
    return sizes(config)


def sizes(config: Mapping[str, Any]) -> dict[str, object]:
    """Read all but the activation.

    Raises:
        UserError: a value is missing, or is one that no seed model implements.
    """
    expect(config, "n_inner", None, 4 * need(config, "n_embd"))
    for key, value in _FIXED.items():
        expect(config, key, value)
    return {**{ours: need(config, theirs) for ours, theirs in _SIZES.items()}, "bias": True}


def config(args: Mapping[str, Any]) -> dict[str, Any]:
    """Write config.json with every value spelled out."""
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        **{theirs: args[ours] for ours, theirs in _SIZES.items()},
        "n_inner": 4 * args["n_embd"],
        "activation_function": "gelu_new",
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "reorder_and_upcast_attn": False,
        **_FIXED,
    }


def theirs(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn linear layers to (in, out), as they have them, and make the biases that a model goes without."""
    found = {}
    for name, weight in weights.items():
        module, _, kind = name.rpartition(".")
        linear = module.endswith(_LINEAR) and kind == "weight"
        found[name] = weight.t() if linear else weight
        if kind == "weight" and module.endswith(_BIASED) and f"{module}.bias" not in weights:
            found[f"{module}.bias"] = weight.new_zeros(weight.size(0))
    return found
