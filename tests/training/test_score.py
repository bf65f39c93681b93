"""The score: cross-entropy over a whole split, by the harness, without showing the model its targets."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from training_helpers import VOCABULARY, random_tokens, small

from foundry.training.score import bits_per_byte, cross_entropy


class Spy(nn.Module):
    """Wrap a model; insist on targets that are its own inputs, and remember all that was shown."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.shown: list[Tensor] = []

    def forward(self, idx: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        assert torch.equal(idx, targets)
        assert not self.training
        assert not torch.is_grad_enabled()
        self.shown.append(idx)
        logits, _ = self.model(idx, targets)
        return logits, torch.tensor(math.nan)  # the model's own loss counts for nothing


def by_hand(model: nn.Module, tokens: Tensor, block_size: int) -> float:
    """Compute the loss token by token in float64 numpy from the model's logits."""
    ids = tokens.long()
    losses = []
    for start in range(0, len(ids) - 1, block_size):
        inputs = ids[start : min(start + block_size, len(ids) - 1)]
        with torch.no_grad():
            logits = model(inputs[None], inputs[None])[0][0].double().numpy()
        for i, row in enumerate(logits):
            target = int(ids[start + i + 1])
            losses.append(np.log(np.exp(row - row.max()).sum()) + row.max() - row[target])
    assert len(losses) == len(ids) - 1
    return float(np.mean(losses))


@pytest.mark.parametrize("n", [9, 10, 16, 17, 18, 203])
@pytest.mark.parametrize("base", ["v1", "v2"])
def test_every_token_of_the_split_counts_once(base: str, n: int) -> None:
    model = small(base).eval()
    for p in model.parameters():
        p.data.mul_(5)  # far from uniform
    tokens = random_tokens(n)
    assert cross_entropy(model, tokens, block_size=8) == pytest.approx(by_hand(model, tokens, 8), abs=1e-5)


@pytest.mark.parametrize("tokens_per_batch", [1, 8, 24, 100, 100_000])
def test_the_batch_size_does_not_matter(tokens_per_batch: int) -> None:
    model, tokens = small(), random_tokens()
    found = cross_entropy(model, tokens, block_size=8, tokens_per_batch=tokens_per_batch)
    assert found == pytest.approx(cross_entropy(model, tokens, block_size=8), abs=1e-6)


def test_the_model_never_holds_its_targets() -> None:
    spy, tokens = Spy(small()), random_tokens(100)
    spy.train()
    assert math.isfinite(cross_entropy(spy, tokens, block_size=8))
    assert sum(idx.numel() for idx in spy.shown) == 99  # the last token is a target alone
    assert all(idx.shape[1] <= 8 for idx in spy.shown)


def test_dropout_is_off_and_the_mode_is_given_back() -> None:
    model, tokens = small(dropout=0.5), random_tokens()
    model.train()
    first = cross_entropy(model, tokens, block_size=8)
    assert all(module.training for module in model.modules())
    model.eval()
    assert cross_entropy(model, tokens, block_size=8) == first
    assert not any(module.training for module in model.modules())


def test_low_precision_logits_are_summed_in_full() -> None:
    class Half(nn.Linear):
        def forward(self, idx: Tensor, targets: Tensor) -> tuple[Tensor, None]:
            return torch.zeros(*idx.shape, VOCABULARY, dtype=torch.bfloat16), None

    assert cross_entropy(Half(1, 1), random_tokens(), block_size=8) == pytest.approx(
        math.log(VOCABULARY), abs=1e-6
    )


@pytest.mark.parametrize(
    "shape", [(VOCABULARY,), (1, VOCABULARY), (8, 4, VOCABULARY), (4, 8), (4, 8, 1, VOCABULARY)]
)
def test_logits_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    class Wrong(nn.Linear):
        def forward(self, idx: Tensor, targets: Tensor) -> tuple[Tensor, None]:
            return torch.zeros(shape), None

    with pytest.raises(ValueError, match=r"^logits of shape .* for inputs of \(4, 8\)$"):
        cross_entropy(Wrong(1, 1), random_tokens(33), block_size=8)


def test_bits_per_byte_by_hand() -> None:
    assert bits_per_byte(math.log(2), 100, 100) == pytest.approx(1.0)
    assert bits_per_byte(1.0, 100, 100) == pytest.approx(1.4426950408889634)
    assert bits_per_byte(3 * math.log(2), 250, 1000) == pytest.approx(
        0.75
    )  # a token of four bytes, three bits
