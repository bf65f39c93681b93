"""The miniature: small, and wired as the real configuration is."""

from __future__ import annotations

import pytest
from gates_helpers import seed_source

from foundry.gates.subject import miniature
from foundry.source import build_config, load_module

V1, V2 = load_module(seed_source("v1")), load_module(seed_source("v2"))


def test_only_what_makes_it_small_is_changed() -> None:
    real = {"n_layer": 30, "n_head": 9, "n_kv_head": 3, "n_embd": 576, "rope_theta": 1e5, "vocab_size": 49152}
    assert miniature(real, V2) == {
        "n_layer": 2,
        "n_head": 6,
        "n_kv_head": 2,
        "n_embd": 96,
        "block_size": 16,
        "vocab_size": 32,
        "dropout": 0.0,
        "rope_theta": 1e5,
    }


def test_fields_that_the_config_lacks_are_not_invented() -> None:
    small = miniature({"bias": False, "vocab_size": 65}, V1)
    assert "n_kv_head" not in small
    assert build_config(V1, small).bias is False


@pytest.mark.parametrize(
    ("heads", "kv_heads", "expected"),
    [(12, 12, (2, 2)), (12, 6, (4, 2)), (12, 4, (6, 2)), (8, 2, (4, 1)), (16, 1, (4, 1)), (1, 1, (2, 2))],
)
def test_heads_keep_their_ratio_as_far_as_it_matters(
    heads: int, kv_heads: int, expected: tuple[int, int]
) -> None:
    small = miniature({"n_head": heads, "n_kv_head": kv_heads}, V2)
    assert (small["n_head"], small["n_kv_head"]) == expected
    assert small["n_embd"] == 16 * expected[0]


def test_key_value_heads_that_model_args_leave_to_the_config_count_too() -> None:
    small = miniature({"n_head": 8}, V2)  # v2's own default is 2
    assert (small["n_head"], small["n_kv_head"]) == (4, 1)
