"""From source to module, configuration and model."""

from __future__ import annotations

import sys

import pytest
from gates_helpers import seed_source, v1_with

from foundry.errors import UserError
from foundry.source import build_config, build_model, load_module


def test_a_seed_model_is_built_as_configured() -> None:
    recipe = {"n_layer": 4, "n_head": 4, "n_embd": 128, "block_size": 64, "vocab_size": 65, "bias": False}
    model = build_model(load_module(seed_source("v1")), recipe)
    assert sum(parameter.numel() for parameter in model.parameters()) == 804_096


def test_two_sources_do_not_share_a_module() -> None:
    first, second = load_module(seed_source("v1")), load_module(seed_source("v2"))
    assert first.__name__ != second.__name__
    assert not hasattr(build_config(first, {}), "rope_theta")
    assert build_config(second, {}).rope_theta == 10000.0


def test_annotations_as_strings_are_understood() -> None:
    module = load_module(
        v1_with(("import inspect\n", "from __future__ import annotations\n\nimport inspect\n"))
    )
    assert build_config(module, {"n_layer": 3}).n_layer == 3


@pytest.mark.parametrize("key", ["n_heads", "n_haed", "N_head"])
def test_an_unknown_key_is_named_with_the_nearest(key: str) -> None:
    with pytest.raises(UserError, match=f"unknown field of GPTConfig '{key}': did you mean 'n_head'"):
        build_config(load_module(seed_source("v1")), {key: 4})


def test_a_missing_class_is_named() -> None:
    with pytest.raises(UserError, match="defines no class GPT, only Block, CausalSelfAttention"):
        load_module(v1_with(("class GPT(nn.Module)", "class Model(nn.Module)")))
    with pytest.raises(UserError, match="defines no class GPTConfig, only none"):
        load_module("GPT = 3\n")
    with pytest.raises(UserError, match=r"GPT in model.py is not a torch.nn.Module"):
        load_module(v1_with(("class GPT(nn.Module)", "class GPT")))


def test_a_source_that_fails_leaves_no_module_behind() -> None:
    before = set(sys.modules)
    with pytest.raises(ZeroDivisionError):
        load_module("1 / 0\n")
    assert set(sys.modules) == before
