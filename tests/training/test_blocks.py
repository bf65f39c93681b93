"""Computing blocks twice keeps less and changes no bit."""

from __future__ import annotations

import pytest
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from training_helpers import differing, first_batch, parameters, random_tokens, recipe, small

from foundry.data.batches import Blocks
from foundry.errors import UserError
from foundry.training.blocks import blocks, recompute
from foundry.training.loop import build_optimizers, train


def trained(base: str, dtype: str, dropout: float, twice: bool) -> nn.Module:
    experiment = recipe(dtype=dtype, gradient_accumulation_steps=2)
    model = small(base, dropout=dropout)
    if twice:
        recompute(model)
    optimizers = build_optimizers(model, experiment.training)
    train(model, optimizers, Blocks(random_tokens()), experiment, seed=0, steps=range(4), total=4)
    return model


@pytest.mark.parametrize("dropout", [0.0, 0.2])  # without any, attention is one fused kernel
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("base", ["v1", "v2"])
def test_a_training_ends_with_the_same_bits(base: str, dtype: str, dropout: float) -> None:
    once, twice = trained(base, dtype, dropout, False), trained(base, dtype, dropout, True)
    assert parameters(once).keys() == parameters(twice).keys()
    assert not differing(parameters(once), parameters(twice))


@pytest.mark.parametrize("base", ["v1", "v2"])
def test_a_fraction_is_kept_for_the_backward_pass(base: str) -> None:
    kept = []
    for twice in (False, True):
        model = small(base, n_layer=6)
        if twice:
            recompute(model)
        weights = {p.data_ptr() for p in model.parameters()}
        found: dict[int, int] = {}

        def note(tensor: Tensor, found: dict[int, int] = found, weights: set[int] = weights) -> Tensor:
            if tensor.data_ptr() not in weights:
                found[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with saved_tensors_hooks(note, lambda tensor: tensor):
            loss = model(*first_batch(random_tokens()))[1]
        kept.append(sum(found.values()))
        loss.backward()
    assert kept[1] < kept[0] / 4


class Experts(nn.Module):
    """Two blocks of five experts each; the first block is there twice."""

    def __init__(self) -> None:
        super().__init__()
        first, second = (
            nn.ModuleDict({"experts": nn.ModuleList(nn.Linear(2, 2) for _ in range(5))}) for _ in range(2)
        )
        self.layers = nn.ModuleList([first, second, first])


def test_blocks_are_found_above_their_experts_and_each_once() -> None:
    model = Experts()
    assert blocks(model) == [model.layers[0], model.layers[1]]


def test_a_model_without_blocks_cannot_compute_them_twice() -> None:
    with pytest.raises(UserError, match=r"^training\.gradient_checkpointing needs "):
        recompute(nn.Linear(2, 2))
