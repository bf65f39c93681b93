"""nanoGPT's GPT-2 in config.json: GELU as it is, not by its approximation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foundry.zoo.families import gpt2
from foundry.zoo.families._reading import expect

MODEL_TYPES = gpt2.MODEL_TYPES
theirs = gpt2.theirs
_EPS = 1e-5


def reads(config: Mapping[str, Any]) -> bool:
    """Tell whether a config.json of a known model type is for this seed model."""
    return config["model_type"] in MODEL_TYPES and not gpt2.reads(config)


def model_args(config: Mapping[str, Any]) -> dict[str, object]:
    """Read the fields of GPTConfig.

    Raises:
        UserError: a value is missing, or is one that the seed model `v1` does not implement.
    """
    expect(config, "layer_norm_epsilon", _EPS)
    args = gpt2.sizes(config)
    del args["norm_eps"]
    return args


def config(args: Mapping[str, Any]) -> dict[str, Any]:
    """Write config.json with every value spelled out."""
    return {**gpt2.config({**args, "norm_eps": _EPS}), "activation_function": "gelu"}
