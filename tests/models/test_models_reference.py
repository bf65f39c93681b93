"""The seed models against independent implementations in numpy, and their parameters against the formulas."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy_models import gpt2, llama

from foundry.registry import module_names
from foundry.seed import read_model
from foundry.source import build_model, load_module

torch.set_num_threads(1)

CPU = {"n_layer": 4, "n_head": 4, "n_embd": 128, "block_size": 64, "vocab_size": 65, "bias": False}
GPU = {**CPU, "n_layer": 6, "n_head": 6, "n_embd": 384, "block_size": 256}
SMALL: dict[str, object] = {"n_layer": 2, "n_head": 4, "n_embd": 32, "block_size": 16, "vocab_size": 11}


def built(name: str, args: Mapping[str, object]) -> Any:
    torch.manual_seed(0)
    return build_model(load_module(read_model(name)), args)


def stirred(name: str, **args: object) -> Any:
    """Build a small model all of whose parameters are far from their simple beginnings."""
    model = built(name, {**SMALL, **args}).eval()
    noise = torch.Generator().manual_seed(1)
    for p in model.parameters():
        p.data.add_(torch.randn(p.shape, generator=noise), alpha=0.3)
    return model


def weights(model: Any) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    return {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}


def ids(rows: int, length: int) -> torch.Tensor:
    return torch.randint(11, (rows, length), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("length", [1, 7, 16])
@pytest.mark.parametrize("bias", [False, True])
def test_v1_is_gpt2(bias: bool, length: int) -> None:
    model, idx = stirred("v1", bias=bias), ids(3, length)
    with torch.no_grad():
        logits = model(idx, idx)[0].numpy()
    assert logits.shape == (3, length, 11)
    for row, one in zip(logits, idx.numpy(), strict=True):
        assert np.abs(row - gpt2(weights(model), one, n_layer=2, n_head=4)).max() < 1e-4


@pytest.mark.parametrize("length", [1, 7, 16])
@pytest.mark.parametrize("n_kv_head", [1, 2, 4])
def test_v2_is_llama(n_kv_head: int, length: int) -> None:
    model = stirred("v2", n_kv_head=n_kv_head, rope_theta=500.0, norm_eps=1e-3)
    idx = ids(3, length)
    with torch.no_grad():
        logits = model(idx, idx)[0].numpy()
    for row, one in zip(logits, idx.numpy(), strict=True):
        wanted = llama(weights(model), one, n_layer=2, n_head=4, n_kv_head=n_kv_head, theta=500.0, eps=1e-3)
        assert np.abs(row - wanted).max() < 1e-4


def test_v1_has_the_parameters_that_nanogpt_reports() -> None:
    model = built("v1", CPU)
    assert sum(p.numel() for p in model.parameters()) == 804_096
    assert model.get_num_params() == 795_904
    assert model.get_num_params(non_embedding=False) == 804_096
    with torch.device("meta"):
        assert built("v1", GPU).get_num_params() == 10_646_784


@pytest.mark.parametrize(
    ("n_layer", "n_head", "n_kv_head", "n_embd"), [(4, 4, 2, 128), (2, 6, 3, 48), (1, 4, 4, 64)]
)
def test_v2_has_the_parameters_of_its_formula(n_layer: int, n_head: int, n_kv_head: int, n_embd: int) -> None:
    args = {"n_layer": n_layer, "n_head": n_head, "n_kv_head": n_kv_head, "n_embd": n_embd, "vocab_size": 65}
    model = built("v2", args)
    attention = 2 * n_embd**2 + 2 * n_embd * (n_embd // n_head * n_kv_head)
    feed_forward = 3 * n_embd * (8 * n_embd // 3)
    outside = 2 * 65 * n_embd + n_embd
    assert (
        sum(p.numel() for p in model.parameters())
        == n_layer * (attention + feed_forward + 2 * n_embd) + outside
    )
    assert model.get_num_params() == model.get_num_params(non_embedding=False) - 65 * n_embd


@pytest.mark.parametrize("name", module_names("foundry/models"))
def test_a_seed_model_imports_torch_and_the_standard_library_alone(name: str) -> None:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(read_model(name))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(str(node.module).split(".")[0])
    assert "torch" in imported
    assert imported - {"torch"} <= sys.stdlib_module_names
