"""Llama, Mistral and Qwen2 in config.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from foundry.errors import UserError
from foundry.zoo.families._reading import expect, need

if TYPE_CHECKING:
    from torch import Tensor

MODEL_TYPES = ("llama", "mistral", "qwen2")
_SIZES = {
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
    "n_kv_head": "num_key_value_heads",
    "n_embd": "hidden_size",
    "n_ffn": "intermediate_size",
    "vocab_size": "vocab_size",
    "block_size": "max_position_embeddings",
    "norm_eps": "rms_norm_eps",
    "tied": "tie_word_embeddings",
}
_SCALING = {
    "rope_factor": "factor",
    "rope_low_freq": "low_freq_factor",
    "rope_high_freq": "high_freq_factor",
    "rope_original": "original_max_position_embeddings",
}
UNSCALED = {"rope_factor": 1.0, "rope_low_freq": 1.0, "rope_high_freq": 4.0, "rope_original": 8192}


def reads(config: Mapping[str, Any]) -> bool:
    """Tell whether a config.json of a known model type is for this seed model."""
    return config["model_type"] in MODEL_TYPES


def model_args(config: Mapping[str, Any]) -> dict[str, object]:
    """Read the fields of GPTConfig.

    Raises:
        UserError: a value is missing, or is one that the seed model `llama` does not implement.
    """
    args = {ours: need(config, theirs) for ours, theirs in _SIZES.items()}
    expect(config, "hidden_act", "silu")
    expect(config, "head_dim", None, args["n_embd"] // args["n_head"])
    expect(config, "mlp_bias", config.get("attention_bias", False))
    kind = config["model_type"]
    args["bias"] = bool(config.get("attention_bias", False))
    args["qkv_bias"] = kind == "qwen2"
    args["window"] = _window(config, kind)
    return {**args, **_rope(config)}


def config(args: Mapping[str, Any]) -> dict[str, Any] | None:
    """Write config.json with every value spelled out, in its older and its newer dialect.

    None for what no model type has: a window together with biases everywhere.
    """
    if args["window"] and args["bias"]:
        return None
    kind = "qwen2" if args["qkv_bias"] and not args["bias"] else "mistral" if args["window"] else "llama"
    body = {theirs: args[ours] for ours, theirs in _SIZES.items()}
    body |= {"hidden_act": "silu", "head_dim": args["n_embd"] // args["n_head"], "attention_dropout": 0.0}
    if kind == "llama":
        body |= {"attention_bias": args["bias"], "mlp_bias": args["bias"]}
    else:
        body["sliding_window"] = args["window"]
    if kind == "qwen2":
        of_all = "sliding_attention" if args["window"] else "full_attention"
        body |= {"use_sliding_window": bool(args["window"]), "max_window_layers": 0}
        body["layer_types"] = [of_all] * args["n_layer"]
    scaling = {"rope_type": "default"}
    if args["rope_factor"] != 1:
        scaling = {"rope_type": "llama3"} | {theirs: args[ours] for ours, theirs in _SCALING.items()}
    body["rope_theta"] = args["rope_theta"]
    body["rope_scaling"] = scaling if args["rope_factor"] != 1 else None
    body["rope_parameters"] = {"rope_theta": args["rope_theta"], **scaling}
    names = {"llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM", "qwen2": "Qwen2ForCausalLM"}
    return {"architectures": [names[kind]], "model_type": kind, **body}


def theirs(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name weights as they do."""
    return {name if name == "lm_head.weight" else f"model.{name}": w for name, w in weights.items()}


def _window(config: Mapping[str, Any], kind: str) -> int | None:
    """Return the window of all layers; the seed model has no layers that differ.

    Raises:
        UserError: some layers have one and others have not.
    """
    if kind == "llama":
        return None
    window: int | None = need(config, "sliding_window")
    if kind == "qwen2" and not need(config, "use_sliding_window"):
        return None
    layers = config["num_hidden_layers"]
    if "layer_types" in config:
        sliding = config["layer_types"].count("sliding_attention")
    elif kind == "qwen2":
        sliding = max(0, layers - need(config, "max_window_layers"))
    else:
        sliding = layers
    if window is None or sliding == 0:
        return None
    if sliding < layers:
        raise UserError(
            f"config.json gives {sliding} of {layers} layers a window; the seed models give it to all or none"
        )
    return window


def _rope(config: Mapping[str, Any]) -> dict[str, object]:
    """Read rotary positions in either dialect: `rope_parameters`, or `rope_theta` and `rope_scaling`.

    Raises:
        UserError: they are scaled in a way that the seed model does not implement.
    """
    if "rope_parameters" in config:
        scaling = config["rope_parameters"] or {}
        theta = need(scaling, "rope_theta", "rope_parameters in config.json")
    else:
        scaling = config.get("rope_scaling") or {}
        theta = need(config, "rope_theta")
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind == "default":
        return {"rope_theta": theta, **UNSCALED}
    if kind != "llama3":
        raise UserError(
            f"config.json scales rotary positions by {kind!r}; the seed models know llama3's way alone"
        )
    read = {ours: need(scaling, theirs, "the scaling in config.json") for ours, theirs in _SCALING.items()}
    return {"rope_theta": theta, **read}
