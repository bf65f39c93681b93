"""What must not pass: v1 with one thing wrong, stopped by the gate meant for it with a reason that fits."""

from __future__ import annotations

import pytest
from faults_leaks import LEAKS
from faults_learning import LEARNING
from faults_running import RUNNING
from gates_helpers import CPU_RECIPE, seed_source, subject, v1_with

from foundry import gates

FAULTS = RUNNING | LEARNING | LEAKS


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_stopped_by_its_gate(fault: str) -> None:
    gate, words, changes = FAULTS[fault]
    failure = gates.check(subject(v1_with(*changes)))
    assert failure is not None
    assert failure.gate == gate, failure.reason
    assert words in failure.reason
    assert failure.reason.isprintable()


def test_every_gate_has_a_fault_that_it_stops() -> None:
    assert {gate for gate, _, _ in FAULTS.values()} == set(gates.names())


def test_too_many_parameters_are_counted_in_the_reason() -> None:
    recipe = CPU_RECIPE | {"bias": False}
    at_limit = gates.Subject(
        source=seed_source("v1"), model_args=recipe, batch_size=12, max_parameters=804_096
    )
    assert gates.run("instantiate", at_limit) is None
    below = gates.Subject(source=seed_source("v1"), model_args=recipe, batch_size=12, max_parameters=804_095)
    failure = gates.run("instantiate", below)
    assert failure == gates.Failure(
        "instantiate", "the model has 804,096 parameters, more than the limit of 804,095"
    )


def test_a_configuration_that_would_fill_the_memory_is_never_built() -> None:
    failure = gates.check(subject(seed_source("v1"), n_embd=400_000))
    assert failure is not None
    assert failure.gate == "instantiate"
    assert "parameters, more than the limit of 200,000,000" in failure.reason


def test_heads_that_do_not_divide_the_width_fail_although_the_miniature_would_not() -> None:
    failure = gates.check(subject(seed_source("v1"), n_head=5))
    assert failure is not None
    assert failure.gate == "instantiate"
    assert "AssertionError: n_embd must be divisible by n_head (model.py:" in failure.reason


@pytest.mark.parametrize(("block_size", "batch_size"), [(64, 12), (2048, 4)])
def test_activations_are_bounded_at_the_real_size(block_size: int, batch_size: int) -> None:
    """Attention that spells out its T x T weights must count at least those; the fused one must not."""
    fused = "y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)"
    spelled = (
        "mask = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()\n"
        "        y = (q @ k.transpose(-2, -1)).masked_fill(~mask, -1e9).softmax(-1) @ v"
    )
    recipe = CPU_RECIPE | {"block_size": block_size}
    weights = 4 * 4 * batch_size * block_size**2 * 4  # layers, heads, rows, T x T, bytes of a float32

    def failure(source: str, limit: int) -> gates.Failure | None:
        examined = gates.Subject(
            source=source, model_args=recipe, batch_size=batch_size, max_activation_bytes=limit
        )
        return gates.run("activation_memory", examined)

    others = batch_size * block_size * 50_000  # bytes a token, somewhat more than what the rest takes
    assert failure(seed_source("v1"), others) is None
    assert failure(v1_with((fused, spelled)), others + 2 * weights) is None
    stopped = failure(v1_with((fused, spelled)), weights)
    assert stopped is not None
    assert f"{batch_size} x {block_size} tokens keeps" in stopped.reason
