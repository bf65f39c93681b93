"""The seed models of the zoo decode with a KV cache as they compute without."""

from __future__ import annotations

import pytest
from zoo_support import LLAMA, SMALL, VOCABULARY, stirred

from foundry.decoding.decoder import check


@pytest.mark.parametrize(
    ("base", "args"),
    [
        ("llama", LLAMA),
        ("llama", {**LLAMA, "window": 7}),
        ("llama", {**LLAMA, "rope_factor": 8.0, "rope_original": 16, "qkv_bias": True, "tied": True}),
        ("gpt2", SMALL),
    ],
)
def test_logits_from_a_cache_are_the_same(base: str, args: dict[str, object]) -> None:
    assert check(stirred(base, args), vocab_size=VOCABULARY, length=24, rows=2) == ""
