"""What a model costs, against the formulas of the literature."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from training_helpers import sizes, source_of

from foundry.source import build_model, load_module
from foundry.training.experiment import Training
from foundry.training.measure import Cost, _Work, cost

RECIPE: dict[str, object] = {
    **{"n_layer": 4, "n_head": 4, "n_embd": 128, "block_size": 64, "vocab_size": 65, "bias": False}
}


def cost_of(
    source: str,
    model_args: dict[str, object],
    batch_size: int = 12,
    block_size: int = 64,
    optimizer: str = "adamw",
) -> Cost:
    module = load_module(source)
    training = Training(batch_size=batch_size, optimizer=optimizer)
    return cost(lambda: build_model(module, model_args), training=training, block_size=block_size)


def test_v1_costs_what_nanogpt_says() -> None:
    found = cost_of(source_of("v1"), RECIPE)
    assert found.params == 804_096
    per_token = 6 * 795_904 + 12 * 4 * 128 * 64  # 6N + 12LHQT
    assert found.flops_per_step / (12 * 64) == pytest.approx(per_token, rel=0.02)


def test_v1_flops_are_those_of_its_matrix_products() -> None:
    found = cost_of(source_of("v1"), RECIPE)
    in_blocks, head = 4 * 12 * 128**2, 65 * 128  # looking up an embedding costs nothing
    assert found.flops_per_step == 12 * 64 * (6 * (in_blocks + head) + 12 * 4 * 128 * 64)


def test_v2_flops_are_those_of_its_matrix_products() -> None:
    found = cost_of(source_of("v2"), {**RECIPE, "n_kv_head": 2})
    in_blocks = 4 * (2 * 128 * 128 + 2 * 128 * 64 + 3 * 128 * 341)
    assert found.flops_per_step == 12 * 64 * (6 * (in_blocks + 65 * 128) + 12 * 4 * 128 * 64)


def test_the_products_of_muon_are_counted() -> None:
    adamw, muon = (cost_of(source_of("v1"), RECIPE, optimizer=name) for name in ("adamw", "muon"))
    square = 2 * 128**3  # FLOPs of one product of two 128 x 128 matrices
    iterations = 5 + 2 * 4 + 4  # polynomials, then gram and product from the second iteration on

    def matrix(long: int) -> int:
        return iterations * square + 2 * 2 * 128 * 128 * long  # gram before, product with x after

    per_layer = matrix(128) + matrix(3 * 128) + 2 * matrix(4 * 128)
    assert muon.flops_per_step - adamw.flops_per_step == 4 * per_layer


def test_flops_grow_with_the_batch() -> None:
    one, three = (cost_of(source_of("v1"), sizes("v1"), batch_size=n, block_size=8) for n in (1, 3))
    assert three.flops_per_step == 3 * one.flops_per_step
    assert three.kv_bytes_per_token == one.kv_bytes_per_token


@pytest.mark.parametrize("n_layer", [1, 4])
def test_v1_caches_keys_and_values_of_all_heads(n_layer: int) -> None:
    found = cost_of(source_of("v1"), {**RECIPE, "n_layer": n_layer})
    assert found.kv_bytes_per_token == 2 * n_layer * 128 * 4


@pytest.mark.parametrize("n_kv_head", [1, 2, 4])
def test_v2_caches_its_key_value_heads_alone(n_kv_head: int) -> None:
    found = cost_of(source_of("v2"), {**RECIPE, "n_kv_head": n_kv_head})
    assert found.kv_bytes_per_token == 2 * 4 * n_kv_head * 32 * 4


def test_a_model_larger_than_memory_is_counted() -> None:
    huge = {**RECIPE, "n_layer": 2, "n_embd": 65_536, "n_head": 64, "vocab_size": 128_256}
    devices: set[str] = set()
    module = load_module(source_of("v1"))

    def build() -> nn.Module:
        model = build_model(module, huge)
        devices.update(p.device.type for p in model.parameters())
        return model

    found = cost(build, training=Training(batch_size=64), block_size=64)
    n = 128_256 * 65_536 + 64 * 65_536 + 2 * (12 * 65_536**2 + 2 * 65_536) + 65_536
    assert (found.params, devices) == (n, {"meta"})  # 440 GB of parameters


READS_A_VALUE_WHEN_BUILT = (
    "        self.config = config\n",
    "        self.config = config\n        torch.ones(3).tolist()\n",
)
READS_A_VALUE_AT_WORK = (
    "        T = idx.size(1)\n",
    "        T = idx.size(1)\n        assert idx.max().item() >= 0\n",
)


@pytest.mark.parametrize("base", ["v1", "v2"])
@pytest.mark.parametrize("change", [READS_A_VALUE_WHEN_BUILT, READS_A_VALUE_AT_WORK])
def test_a_model_that_reads_values_costs_the_same(base: str, change: tuple[str, str]) -> None:
    plain = cost_of(source_of(base), sizes(base), block_size=8)
    found = cost_of(source_of(base, change), sizes(base), block_size=8)
    assert replace(found, work_per_step=plain.work_per_step) == plain
    assert found.work_per_step == pytest.approx(plain.work_per_step, rel=0.05)  # reading is an operation


def test_work_has_a_price_for_products_bytes_and_operations() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(8, 16))

        def forward(self, idx: torch.Tensor, targets: torch.Tensor) -> tuple[None, torch.Tensor]:
            x = torch.ones(4, 8)
            return None, (x @ self.weight).sum()

    training = Training(batch_size=1, optimizer="adamw")
    found = cost(Model, training=training, block_size=4)
    products = 2 * (2 * 4 * 8 * 16)  # forward, and backward for the weight alone
    assert found.flops_per_step == products
    operations = found.work_per_step / _Work.PER_OPERATION
    assert 6 < operations < 16
    twice = cost(Model, training=replace(training, gradient_accumulation_steps=2), block_size=4)
    assert twice.flops_per_step == 2 * products
    assert found.work_per_step < twice.work_per_step < 2 * found.work_per_step  # the optimizer steps once


def test_a_model_that_cannot_run_says_why() -> None:
    source = source_of(
        "v1", ("        T = idx.size(1)\n", "        T = idx.size(1)\n        x = undefined\n")
    )
    with pytest.raises(NameError, match="undefined"):
        cost_of(source, sizes("v1"), block_size=8)


def test_measuring_draws_nothing() -> None:
    state = torch.get_rng_state()
    cost_of(source_of("v1"), sizes("v1", dropout=0.1), block_size=8)
    assert torch.equal(torch.get_rng_state(), state)
