"""What an update of adapters costs: products of the frozen base forward and back, none for its gradients."""

from __future__ import annotations

import pytest
import torch
from lora_helpers import SIZES
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from foundry.lora.adapt import adapt
from foundry.lora.settings import Lora
from foundry.seed import read_model
from foundry.source import build_model, load_module
from foundry.training.experiment import Training
from foundry.training.measure import cost

ARGS = {**SIZES, "n_embd": 64, "n_layer": 4, "block_size": 32}
TRAINING = Training(batch_size=3)


def build() -> torch.nn.Module:
    return build_model(load_module(read_model("v1")), ARGS)


@pytest.mark.parametrize(
    "lora", [Lora(rank=2, targets=("all-linear",)), Lora(rank=4, dora=True), Lora(rank=1, dropout=0.1)]
)
def test_the_count_is_that_of_a_real_update(lora: Lora) -> None:
    model = build()
    adapt(model, lora, 0)
    idx = torch.zeros(3, 32, dtype=torch.long)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(idx, idx)[1].backward()
    found = cost(build, training=TRAINING, block_size=32, lora=lora)
    assert found.flops_per_step == counter.get_total_flops()


def test_it_is_about_two_thirds_of_a_full_update_of_the_same_model() -> None:
    full = cost(build, training=TRAINING, block_size=32)
    adapters = cost(build, training=TRAINING, block_size=32, lora=Lora(rank=2, targets=("all-linear",)))
    assert 0.6 < adapters.flops_per_step / full.flops_per_step < 0.8
    assert adapters.params == full.params
    assert adapters.tokens_per_step == full.tokens_per_step
