"""Whatever the source, the cache gives the logits that the whole context would give."""

from __future__ import annotations

import pytest
import torch
from decoding_sources import BLOCK, CACHED, UNCACHED, model_of, random_tokens
from hypothesis import given, settings
from hypothesis import strategies as st

from foundry.decoding.decoder import CachedDecoder, Decoder, best_decoder, check
from foundry.decoding.sampling import Sampling, generate, generators


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("name", CACHED)
def test_logits_are_those_of_a_full_forward(name: str, rows: int) -> None:
    model, tokens = model_of(CACHED[name]), random_tokens(rows, BLOCK)
    decoder = CachedDecoder(model)
    with torch.no_grad():
        for start, stop in [(0, 5), (5, 6), (6, 7), (7, 20), *((i, i + 1) for i in range(20, BLOCK))]:
            logits = decoder.extend(tokens[:, start:stop])
            torch.testing.assert_close(logits, model(tokens[:, :stop])[0][:, -1], rtol=1e-4, atol=1e-4)
    assert decoder.reason == ""
    assert decoder.bytes_per_token > 0


@pytest.mark.parametrize("name", CACHED)
def test_greedy_text_is_the_same(name: str) -> None:
    model = model_of(CACHED[name])
    cached, plain = best_decoder(model, vocab_size=29, length=BLOCK), Decoder(model)
    assert cached.reason == ""
    assert greedy(cached) == greedy(plain)


@pytest.mark.parametrize("name", UNCACHED)
def test_what_a_cache_cannot_hold_is_computed_again(name: str) -> None:
    model = model_of(UNCACHED[name])
    decoder = best_decoder(model, vocab_size=29, length=BLOCK)
    assert decoder.reason
    assert type(decoder) is Decoder
    if name != "random":
        assert greedy(decoder) == greedy(Decoder(model))


def greedy(decoder: Decoder) -> list[int]:
    chosen = generate(
        decoder, random_tokens(1, 3), 64, Sampling(temperature=0), generators(0, 1), block_size=BLOCK
    )
    return [int(token) for token in chosen]


@settings(max_examples=20, deadline=None)
@given(
    cuts=st.sets(st.integers(1, BLOCK - 1)), name=st.sampled_from(["v2", "window in chunks", "token shift"])
)
def test_it_does_not_matter_how_a_text_is_cut(cuts: set[int], name: str) -> None:
    model, tokens = model_of(CACHED[name]), random_tokens(2, BLOCK)
    decoder = CachedDecoder(model)
    ends = [*sorted(cuts), BLOCK]
    for start, stop in zip([0, *ends], ends, strict=False):
        logits = decoder.extend(tokens[:, start:stop])
    torch.testing.assert_close(logits, Decoder(model).extend(tokens), rtol=1e-4, atol=1e-4)
    assert decoder.reason == ""


def test_attention_over_new_tokens_alone_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check itself: a rule that forgets the past must not pass it."""
    from torch.nn import functional as F

    from foundry.decoding.tail import RULES, Call, Tail, tail

    def forgetful(call: Call) -> Tail:
        q = call.args[0]
        return tail(F.scaled_dot_product_attention(*call.args, is_causal=True), -2, q.during)

    monkeypatch.setitem(RULES, "scaled_dot_product_attention", forgetful)
    assert "logits after" in check(model_of(CACHED["v1"]), vocab_size=29, length=BLOCK)


def test_a_failure_on_the_way_is_made_good() -> None:
    """Some lengths lie beyond what was checked; from a failure on, everything is computed again."""
    source = CACHED["v1"].replace(
        "x = self.transformer.drop(x)", "x = x\n        if T > 30:\n            x[:, :1] = x[:, :1] * 1"
    )
    model, tokens = model_of(source), random_tokens(1, 40)
    decoder = best_decoder(model, vocab_size=29, length=30)
    assert decoder.reason == ""
    for i in range(40):
        logits = decoder.extend(tokens[:, i : i + 1])
    assert "writes to activations" in decoder.reason
    torch.testing.assert_close(logits, Decoder(model).extend(tokens), rtol=1e-4, atol=1e-4)


def test_size_of_the_cache() -> None:
    """Keys and values of two layers in float32; grouped queries share them."""
    for name, heads in (("v1", 4), ("v2", 2)):
        decoder = CachedDecoder(model_of(CACHED[name]))
        decoder.extend(random_tokens(3, 5))
        assert decoder.bytes_per_token == 3 * 2 * 2 * heads * 8 * 4
