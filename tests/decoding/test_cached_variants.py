"""Every variant there is decodes from a cache, or is known to be computed in full."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import decoding_sources
import pytest
import torch
from torch import Tensor, nn

from benchmarks import cache_table
from benchmarks.cache_table import (
    BLOCK,
    VOCABULARY,
    Choice,
    Finding,
    alone,
    finding,
    model_of,
    source_of,
    together,
)
from foundry.decoding import rounded
from foundry.decoding.cache import Cache
from foundry.decoding.decoder import CachedDecoder, Plan, best_decoder, windows
from foundry.decoding.layers import replacements
from foundry.decoding.tail import Pass, Tail, tail
from foundry.modules.geglu import GEGLU
from foundry.modules.glu import GLU
from foundry.modules.layernorm import LayerNorm
from foundry.modules.reglu import ReGLU
from foundry.modules.relu2glu import ReLU2GLU
from foundry.modules.rmsnorm import RMSNorm
from foundry.modules.sliding_window import SlidingWindowAttention
from foundry.modules.squared_relu import SquaredReLU
from foundry.modules.swiglu import SwiGLU

Case = tuple[str, tuple[Choice, ...]]
ALONE, TOGETHER = list(alone()), list(together())
IN_FULL: dict[Case, str] = {}  # what no cache can follow, with the reason that a decoder gives
MODULES = Path(__file__).parents[2] / "foundry" / "modules"


def name_of(case: Case) -> str:
    return Finding(*case, "").name


MIXING = ("attention", "position", *(operator for operator, _ in cache_table.MIXING))
QUICK = [case for case in ALONE if case[0] == "v1" and all(choice[0] in MIXING for choice in case[1])]


@pytest.mark.parametrize("case", QUICK, ids=name_of)
def test_each_variant_of_v1_that_mixes_tokens(case: Case) -> None:
    assert why_in_full(case) in (None, IN_FULL.get(case, ""))


@pytest.mark.parametrize("case", TOGETHER[7::143], ids=name_of)
def test_some_combinations(case: Case) -> None:
    assert why_in_full(case) in (None, IN_FULL.get(case, ""))


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in ALONE if case not in QUICK], ids=name_of)
def test_every_other_variant(case: Case) -> None:
    assert why_in_full(case) in (None, IN_FULL.get(case, ""))


@pytest.mark.slow
@pytest.mark.parametrize("tenth", range(10))
def test_every_combination(tenth: int) -> None:
    reasons = {case: why_in_full(case) for case in TOGETHER[tenth::10]}
    offered = {case: reason for case, reason in reasons.items() if reason is not None}
    assert offered == {case: IN_FULL.get(case, "") for case in offered}
    assert len(offered) > 40


def why_in_full(case: Case) -> str | None:
    """Say why a combination has no cache, nothing if it has one; None where operators do not offer it."""
    found = finding(*case)
    return None if found is None else found.reason


ADDING = ("attention", "position", "primer_conv", "token_shift", "moe", "swap_norm")  # classes to a source


def test_no_reference_module_is_left_out() -> None:
    """Those for one token at a time are below; the others stand in some source that is checked above."""
    seen = set(TOKEN_BY_TOKEN)
    for case in ALONE:
        if case[0] == "v1" and case[1] and case[1][0][0] in ADDING and (source := source_of(*case)):
            seen |= classes_of(source.model)
    for path in MODULES.glob("*.py"):
        assert classes_of(path.read_text("utf-8")) <= seen, path.name


def classes_of(text: str) -> set[str]:
    return {node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef)}


TOKEN_BY_TOKEN: dict[str, Callable[[], nn.Module]] = {
    "GEGLU": lambda: GEGLU(8, 12),
    "GLU": lambda: GLU(8, 12),
    "ReGLU": lambda: ReGLU(8, 12),
    "ReLU2GLU": lambda: ReLU2GLU(8, 12),
    "SwiGLU": lambda: SwiGLU(8, 12),
    "SquaredReLU": SquaredReLU,
    "LayerNorm": lambda: LayerNorm(8),
    "RMSNorm": lambda: RMSNorm(8),
}


@pytest.mark.parametrize("name", TOKEN_BY_TOKEN)
def test_modules_for_one_token_at_a_time_need_no_cache(name: str) -> None:
    torch.manual_seed(0)
    layer, x, cache = TOKEN_BY_TOKEN[name](), torch.randn(2, 9, 8), Cache()
    cache.begin(9, 4)
    newest = layer(tail(x[:, 5:], -2, Pass(9, 4, cache)))
    cache.end()
    assert isinstance(newest, Tail)
    assert cache.nbytes == 0
    torch.testing.assert_close(newest.as_subclass(Tensor), layer(x)[:, 5:])


def test_a_finding_in_full_stands_in_the_table() -> None:
    bad = Finding("v1", (("attention", "mla"),), "its source says no")
    table = cache_table.tables([bad], [bad])
    assert "| attention mla | in full | in full | in full | in full | – | – | – | – |" in table
    assert "- v1 + attention mla: in full, since its source says no" in table


def variant(seed: str, *choices: Choice) -> nn.Module:
    source = source_of(seed, choices)
    assert source is not None
    return model_of(source)


def tokens(rows: int, n: int) -> Tensor:
    return torch.randint(VOCABULARY, (rows, n), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("choice", "elements"),
    [
        (("attention", "gqa_1kv"), 2 * 32),
        (("attention", "mla"), 32 + 16),  # the latent, and of each key the half that is rotated
        (("attention", "strided_4"), 2 * 2 * 32),
    ],
)
def test_elements_that_a_layer_of_v2_keeps(choice: Choice, elements: int) -> None:
    assert rounded.bytes_per_token(variant("v2", choice), BLOCK, "float32") == 2 * 4 * elements


def test_windows_are_counted_up_to_their_length() -> None:
    model = variant("v2", ("attention", "sliding_window_8"))
    assert rounded.bytes_per_token(model, BLOCK, "float32") == -(-2 * 2 * 2 * 32 * 4 * 8 // BLOCK)


@pytest.mark.parametrize("kind", ["bfloat16", "int8", "int4"])
@pytest.mark.parametrize(
    ("seed", "choice"),
    [
        ("v1", ("position", "alibi")),
        ("v2", ("attention", "mla")),
        ("v2", ("attention", "sliding_window_8")),
        ("v2", ("primer_conv", "3")),
    ],
)
def test_a_text_at_once_is_a_text_token_by_token(seed: str, choice: Choice, kind: str) -> None:
    """Rounding differs where sums of floats differ in their last bit at the border between two codes."""
    model, text = variant(seed, choice), tokens(2, BLOCK)
    decoder = CachedDecoder(model, Plan(kind=kind))
    one_by_one = torch.stack([decoder.extend(text[:, i : i + 1]) for i in range(BLOCK)], dim=1)
    at_once = rounded.logits(model, text, kind)
    assert decoder.reason == ""
    apart = (one_by_one - at_once)[:, 1:].abs()  # the first token has no cache
    assert apart.mean() < 0.02 * at_once.std()


@pytest.mark.parametrize(
    ("kind", "most"), [("float32", 1e-5), ("bfloat16", 0.02), ("int8", 0.02), ("int4", 0.2)]
)
def test_rounding_changes_logits_a_little(kind: str, most: float) -> None:
    """Root mean square, relative to logits, of a random model: far from nothing, which would be 1.4."""
    model, text = variant("v2"), tokens(2, BLOCK)
    with torch.no_grad():
        exact = model(text, text)[0]
    apart = (rounded.logits(model, text, kind) - exact).square().mean().sqrt() / exact.std()
    assert apart < most
    assert (apart > 1e-5) == (kind != "float32")


@pytest.mark.parametrize("choice", [("attention", "sliding_window_8"), ("attention", "local_global_2")])
def test_what_a_window_has_passed_is_let_go_of(choice: Choice) -> None:
    sizes = {}
    for many in (1, 2):
        model = build(choice, many)
        decoder = best_decoder(model, vocab_size=VOCABULARY, length=BLOCK)
        assert isinstance(decoder, CachedDecoder)
        for i in range(many * 96):
            decoder.extend(tokens(1, 192)[:, i : i + 1])
        assert decoder.reason == ""
        sizes[many] = decoder.cache.nbytes
    assert (sizes[1] == sizes[2]) == (choice[1] == "sliding_window_8")


def build(choice: Choice, many: int) -> nn.Module:
    source = source_of("v2", (choice,))
    assert source is not None
    return model_of(
        type(source)(source.model, source.experiment.replace(f"block_size: {BLOCK}", "block_size: 192"))
    )


def test_a_window_that_a_mask_draws_is_found() -> None:
    model = decoding_sources.model_of(decoding_sources.CACHED["sliding window"])
    length = decoding_sources.BLOCK
    assert windows(model, length) == {0: 7, 2: 7}  # by keys, which come before values
    decoder = best_decoder(model, vocab_size=29, length=length)
    assert isinstance(decoder, CachedDecoder)
    text = decoding_sources.random_tokens(1, length)
    for i in range(length):
        logits = decoder.extend(text[:, i : i + 1])
    assert decoder.cache.bytes_at(length) == 2 * 2 * 32 * 4 * 7
    with torch.no_grad():
        torch.testing.assert_close(logits, model(text)[0][:, -1], rtol=1e-4, atol=1e-4)
    assert windows(decoding_sources.model_of(decoding_sources.CACHED["manual"]), length) == {}


def test_a_layer_that_was_rewritten_is_not_taken_for_the_reference() -> None:
    source = source_of("v1", (("attention", "sliding_window_8"),))
    assert source is not None
    assert len(replacements(model_of(source))) == 2
    changed = source.model.replace(".triu(1).repeat(", ".triu(2).repeat(")
    assert changed != source.model
    other = model_of(type(source)(changed, source.experiment))
    assert replacements(other) == []
    assert windows(other, BLOCK) == {}
    assert best_decoder(other, vocab_size=VOCABULARY, length=BLOCK).reason == ""


def test_a_layer_is_itself_again_after_a_pass() -> None:
    model = variant("v1", ("attention", "sliding_window_8"))
    decoder, text = CachedDecoder(model), tokens(1, BLOCK)
    decoder.extend(text)
    layers = [layer for layer in model.modules() if type(layer).__name__ == SlidingWindowAttention.__name__]
    assert len(layers) == 2
    assert all("forward" not in layer.__dict__ for layer in layers)


def test_what_a_cache_cannot_follow_is_predicted_in_full() -> None:
    source = source_of("v1", ())
    assert source is not None
    written = "x = self.transformer.drop(x)"
    changed = source.model.replace(written, f"{written}\n        x[:, 0] = 0")
    model, text = model_of(type(source)(changed, source.experiment)), tokens(2, BLOCK)
    with torch.no_grad():
        exact = model(text, text)[0]
    assert torch.equal(rounded.predicted(model, text, "int4"), exact)
    with pytest.raises(RuntimeError):
        rounded.logits(model, text, "int4")
    followed = variant("v1")
    assert torch.equal(rounded.predicted(followed, text, "int4"), rounded.logits(followed, text, "int4"))
