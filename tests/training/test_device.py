"""Devices are chosen by what is there; bfloat16 changes products and nothing that stays."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from training_helpers import random_tokens, recipe, small

from foundry.data.batches import Blocks
from foundry.errors import UserError
from foundry.training import device as devices
from foundry.training.compiled import compiled
from foundry.training.experiment import Training
from foundry.training.loop import build_optimizers, updates

CPU = torch.device("cpu")
HERE = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}


def losses(base: str = "v1", steps: int = 6, **training: object) -> list[float]:
    experiment = recipe(**training)
    model = small(base)
    optimizers = build_optimizers(model, experiment.training)
    arguments = (model, optimizers, Blocks(random_tokens()), experiment)
    found = list(updates(*arguments, seed=0, steps=range(steps), total=steps))
    state = [value for o in optimizers for s in o.state.values() for value in s.values()]
    assert {t.dtype for t in [*model.parameters(), *state]} == {torch.float32}
    return found


def test_auto_takes_the_best_there_is() -> None:
    assert devices.choose(Training(device="auto")).type == next(kind for kind, there in HERE.items() if there)
    assert devices.choose(Training(device="cpu")) == CPU


@pytest.mark.parametrize("kind", [kind for kind, there in HERE.items() if not there])
def test_a_device_that_is_not_there_is_a_mistake_in_words(kind: str) -> None:
    with pytest.raises(UserError, match=f"training.device is {kind}, but torch finds only .*cpu here"):
        devices.choose(Training(device=kind))


@pytest.mark.parametrize("base", ["v1", "v2"])
def test_bfloat16_follows_float32_with_parameters_and_state_in_float32(base: str) -> None:
    full, low = losses(base), losses(base, dtype="bfloat16")
    assert low != full
    assert low == pytest.approx(full, abs=5e-3)


def test_products_are_in_bfloat16_and_attention_on_the_cpu_is_not() -> None:
    a, b = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0)).bfloat16().unbind()
    mask = torch.zeros(4, 4)

    def attend() -> Tensor:
        return F.scaled_dot_product_attention(a[None], b[None], value=b[None], attn_mask=mask)

    with devices.precision(CPU, "bfloat16"):
        assert (a.float() @ b.float()).dtype == torch.bfloat16
        assert attend().dtype == torch.float32
        assert (a.float() @ b.float()).dtype == torch.bfloat16  # after attention, too
    with devices.precision(CPU, "float32"):
        assert (a.float() @ b.float()).dtype == torch.float32


@pytest.mark.parametrize("there", [False, True])
def test_auto_is_bfloat16_where_the_processor_has_units_for_it(
    there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: there)
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: False)
    assert devices.working_dtype(CPU, "auto") == ("bfloat16" if there else "float32")
    assert losses(dtype="auto") == losses(dtype="bfloat16" if there else "float32")


def test_seeding_seeds_dropout() -> None:
    drawn = []
    for seed in (1, 2, 1):
        devices.seed_generators(CPU, seed)
        drawn.append(F.dropout(torch.ones(64)))
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])


@pytest.mark.slow  # compiles for half a minute
@pytest.mark.parametrize("gradient_checkpointing", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_compiled_model_trains_alike(dtype: str, gradient_checkpointing: bool) -> None:
    from foundry.training.blocks import recompute

    experiment = recipe(dtype=dtype)
    curves = []
    for compile_it in (False, True):
        model = small()
        if gradient_checkpointing:
            recompute(model)
        optimizers = build_optimizers(model, experiment.training)
        fast = compiled(model, CPU) if compile_it else model
        arguments = (fast, optimizers, Blocks(random_tokens()), experiment)
        curves.append(list(updates(*arguments, seed=0, steps=range(4), total=4)))
    assert curves[1] == pytest.approx(curves[0], abs=1e-5 if dtype == "float32" else 5e-3)


def test_where_nothing_compiles_it_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1")
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))
    torch._dynamo.reset()
    with pytest.raises(UserError, match=r"^training\.compile: torch\.compile does not work here: ."):
        compiled(small(), CPU)
