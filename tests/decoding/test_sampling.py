"""Tokens are drawn as told, and the seed decides."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from decoding_sources import BLOCK, CACHED, model_of, random_tokens
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from foundry.decoding.decoder import CachedDecoder, Decoder
from foundry.decoding.sampling import Sampling, draw, generate, generators, probabilities

LOGITS = st.lists(st.floats(-8, 8, width=16), min_size=2, max_size=12, unique=True)


@given(LOGITS, st.floats(0.1, 3), st.integers(1, 15), st.floats(0.01, 1))
def test_probabilities_are_those_of_a_direct_computation(
    values: list[float], temperature: float, top_k: int, top_p: float
) -> None:
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p)
    chances = probabilities(torch.tensor([values]), sampling)[0].double()

    weights = (torch.tensor(values, dtype=torch.float64) / temperature).exp().tolist()
    order = sorted(range(len(values)), key=lambda i: -weights[i])[:top_k]
    among = sum(weights[i] for i in order)
    kept, reached = [], 0.0
    for i in order:
        if kept and abs(reached - top_p) < 1e-5:  # rounding may decide either way
            return
        if kept and reached >= top_p:
            break
        kept.append(i)
        reached += weights[i] / among
    expected = torch.zeros(len(values), dtype=torch.float64)
    for i in kept:
        expected[i] = weights[i] / among / reached
    torch.testing.assert_close(chances, expected, rtol=1e-4, atol=1e-6)


def test_temperature_0_takes_the_likeliest() -> None:
    chances = probabilities(torch.tensor([[1.0, 3.0, 2.0], [9.0, 3.0, 2.0]]), Sampling(temperature=0))
    assert chances.tolist() == [[0, 1, 0], [1, 0, 0]]


def test_draws_have_the_frequencies_of_their_probabilities() -> None:
    chances = torch.tensor([[0.1, 0.0, 0.6, 0.3]])
    chance = generators(3, 1)
    drawn = torch.cat([draw(chances, chance)[0] for _ in range(4000)]).bincount(minlength=4) / 4000
    assert drawn[1] == 0
    torch.testing.assert_close(drawn, chances[0], rtol=0, atol=4 * (0.24 / 4000) ** 0.5)


class Recall(nn.Module):
    """Predicts the token that is `back` from the end of what it is shown; remembers how much that was."""

    def __init__(self, back: int) -> None:
        super().__init__()
        self.back = back
        self.seen: list[int] = []

    def forward(self, idx: Tensor) -> tuple[Tensor, None]:
        self.seen.append(idx.size(1))
        return nn.functional.one_hot(idx.roll(self.back - 1, 1), 29).float() * 100, None


def texts(decoder: Decoder, prompt: Tensor, tokens: int, seed: int = 0, **options: int) -> list[list[int]]:
    chance = generators(seed, prompt.size(0))
    made: Iterator[Tensor] = generate(
        decoder, prompt, tokens, Sampling(), chance, block_size=BLOCK, **options
    )
    return torch.stack(list(made), dim=1).tolist()


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return model_of(CACHED["v2"])


def test_the_seed_decides(model: nn.Module) -> None:
    prompt = random_tokens(1, 4)
    one = texts(CachedDecoder(model), prompt, 30)
    assert texts(CachedDecoder(model), prompt, 30) == one
    assert texts(CachedDecoder(model), prompt, 30, seed=1) != one
    torch.manual_seed(5)
    assert texts(Decoder(model), prompt, 30) == one


def test_a_text_does_not_depend_on_how_many_are_written(model: nn.Module) -> None:
    prompt = random_tokens(1, 4)
    three = texts(CachedDecoder(model), prompt.expand(3, -1), 20)
    assert three[0] == texts(CachedDecoder(model), prompt, 20)[0]
    assert three[0] != three[1] != three[2]


def test_up_to_a_block_it_is_what_nanogpt_generates(model: nn.Module) -> None:
    prompt = random_tokens(1, 4)
    ours = texts(CachedDecoder(model), prompt, BLOCK - 3)[0]
    chance, context = generators(0, 1)[0], prompt
    for token in ours:
        logits = model(context[:, -BLOCK:])[0][:, -1]
        chosen = torch.multinomial(logits.softmax(-1), 1, generator=chance)
        assert chosen.item() == token
        context = torch.cat((context, chosen), dim=1)


def test_beyond_a_block_the_newer_half_is_kept() -> None:
    model = Recall(back=5)
    prompt = torch.arange(5)[None]
    assert texts(Decoder(model), prompt, 100)[0] == [i % 5 for i in range(100)]
    assert max(model.seen) == BLOCK
    jumps = [after for before, after in zip(model.seen, model.seen[1:], strict=False) if after <= before]
    assert jumps == [BLOCK // 2] * 3


def test_a_long_prompt_is_cropped() -> None:
    model = Recall(back=1)
    texts(Decoder(model), random_tokens(1, BLOCK + 9), 1)
    assert model.seen == [BLOCK]


def test_a_stop_token_ends_a_row_and_all_of_them_the_text() -> None:
    prompt = torch.tensor([[1, 2, 3, 4], [4, 3, 2, 1]])
    assert texts(Decoder(Recall(back=4)), prompt, 10, stop=2) == [[1, 2, 2], [4, 3, 2]]
