"""Parameters depend on the seed, their names and their shapes, and on nothing else in the model."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from training_helpers import differing, model_from, parameters, sizes, small, source_of

from foundry.keyed import seed_for
from foundry.training.init import initialised, unfilled

WIDE = sizes("v1", n_embd=64, n_layer=3, bias=True, vocab_size=65, block_size=32)


def own_generator(seed: int, name: str) -> torch.Generator:
    return torch.Generator().manual_seed(seed_for("init", seed, name))


@pytest.mark.parametrize("base", ["v1", "v2"])
def test_a_seed_gives_the_same_parameters_whatever_was_drawn_before(base: str) -> None:
    first = parameters(small(base, seed=3))
    torch.manual_seed(99)
    torch.rand(7)
    second = parameters(small(base, seed=3))
    assert first.keys() == second.keys()
    assert not differing(first, second)


def test_another_seed_changes_everything_random() -> None:
    one, other = parameters(small(seed=0)), parameters(small(seed=1))
    assert differing(one, other) == [name for name in one if "ln_" not in name]


def test_a_parameter_comes_from_the_generator_of_its_name() -> None:
    model = small(seed=5)
    for name, std in [
        ("transformer.wpe.weight", 0.02),
        ("transformer.wte.weight", 0.02),
        ("transformer.h.1.mlp.c_fc.weight", 0.02),
        ("transformer.h.0.mlp.c_proj.weight", 0.02 / math.sqrt(4)),
    ]:
        p = model.get_parameter(name)
        assert torch.equal(p, torch.empty(p.shape).normal_(0.0, std, generator=own_generator(5, name))), name


def test_no_two_parameters_are_alike() -> None:
    random = [p for name, p in small().named_parameters() if p.dim() == 2]
    starts = {tuple(p.flatten()[:8].tolist()) for p in random}
    assert len(starts) == len(random)


def test_a_wider_feed_forward_leaves_the_rest_alone() -> None:
    wider = model_from(source_of("v1", ("4 * config.n_embd", "6 * config.n_embd")), sizes("v1"))
    changed = differing(parameters(small()), parameters(wider))
    assert changed == [f"transformer.h.{i}.mlp.{name}.weight" for i in (0, 1) for name in ("c_fc", "c_proj")]


def test_another_layer_leaves_the_rest_alone() -> None:
    two, three = parameters(small()), parameters(small(n_layer=3))
    scaled = {name for name in two if name.endswith("c_proj.weight")}
    assert set(differing(two, three)) == scaled  # their standard deviation is made of n_layer
    for name in scaled:
        torch.testing.assert_close(two[name] * math.sqrt(2 / 3), three[name])


@pytest.mark.parametrize("drawn", ["torch.randn(5)", "torch.zeros(5)", "torch.empty(5, 5).uniform_()"])
def test_another_parameter_leaves_the_rest_alone(drawn: str) -> None:
    line = "        self.ln_1 = LayerNorm("
    more = model_from(
        source_of("v1", (line, f"        self.more = nn.Parameter({drawn})\n{line}")), sizes("v1")
    )
    assert "transformer.h.1.more" in parameters(more)
    assert not differing(parameters(small()), parameters(more))


def test_the_distributions_are_the_models_own() -> None:
    found = parameters(model_from(source_of("v1"), WIDE))
    for name, p in found.items():
        if name.endswith("bias"):
            assert not p.any(), name
        elif ".ln_" in name:
            assert (p == 1).all(), name
        else:
            std = 0.02 / math.sqrt(6) if name.endswith("c_proj.weight") else 0.02
            normal = stats.kstest(p.flatten().numpy() / std, "norm")
            assert normal.pvalue > 1e-3, name


def test_tied_weights_stay_tied_and_untied_ones_are_two() -> None:
    tied = small()
    assert tied.get_submodule("lm_head").weight is tied.get_submodule("transformer.wte").weight
    tie = "        self.transformer.wte.weight = self.lm_head.weight"
    untied = model_from(source_of("v1", (tie, "        pass")), sizes("v1"))
    embedding = untied.get_parameter("transformer.wte.weight")
    assert torch.equal(embedding, tied.get_parameter("transformer.wte.weight"))
    assert not torch.equal(embedding, untied.get_parameter("lm_head.weight"))


class OneOf(nn.Module):
    """Hold one parameter, made by a function, after as many others, of other shapes, as asked for."""

    def __init__(self, make: Callable[[], Tensor], others: int) -> None:
        super().__init__()
        for i in range(others):
            self.register_parameter(
                f"other{i}", nn.Parameter(nn.Linear(7, 5 + i).weight * torch.randn(5 + i, 7))
            )
        self.weight = nn.Parameter(make())


def parts_filled() -> Tensor:
    w = torch.zeros(40, 30)
    w[10:20].normal_()
    w[30:].uniform_(5.0, 6.0)
    return w


def parts_changed() -> Tensor:
    w = torch.empty(40, 30).normal_()
    w[:10].mul_(0.5)
    w[10:20].zero_()
    w[20:, ::2] = 3.0
    return w


WAYS: dict[str, Callable[[], Tensor]] = {
    "trunc_normal": lambda: nn.init.trunc_normal_(torch.empty(40, 30), std=0.02, a=-0.04, b=0.04),
    "uniform": lambda: nn.init.uniform_(torch.empty(40, 30), -2.0, 3.0),
    "kaiming": lambda: nn.init.kaiming_uniform_(torch.empty(40, 30), a=math.sqrt(5)),
    "xavier": lambda: nn.init.xavier_normal_(torch.empty(40, 30)),
    "linear": lambda: nn.Linear(30, 40).weight.detach(),
    "in place": lambda: torch.empty(40, 30).normal_().mul_(0.1).add_(1.0),
    "transposed": lambda: torch.empty(30, 40).t().normal_(),
    "randn": lambda: torch.randn(40, 30) * 0.02,
    "rand": lambda: 2 * torch.rand(40, 30) - 1,
    "randn_like": lambda: torch.randn_like(torch.empty(40, 30)) / math.sqrt(30),
    "filled twice": lambda: nn.init.normal_(nn.init.uniform_(torch.empty(40, 30)), std=0.5),
    "rejecting": lambda: nn.init.trunc_normal_(torch.empty(40, 30), std=1.0, a=-1.0, b=1.0),
    "orthogonal": lambda: nn.init.orthogonal_(torch.empty(40, 30)),
    "sparse": lambda: nn.init.sparse_(torch.empty(40, 30), 0.5),
    "embedding": lambda: nn.Embedding(40, 30, padding_idx=1).weight.detach(),
    "parts filled": parts_filled,
    "parts changed": parts_changed,
}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_made_before_a_parameter_does_not_change_it(way: str) -> None:
    torch.manual_seed(0)
    alone = initialised(lambda: OneOf(WAYS[way], 0), 1).get_parameter("weight")
    torch.manual_seed(1)
    later = initialised(lambda: OneOf(WAYS[way], 3), 1).get_parameter("weight")
    assert torch.equal(alone, later)
    assert not torch.equal(alone, initialised(lambda: OneOf(WAYS[way], 0), 2).get_parameter("weight"))


@pytest.mark.parametrize("way", WAYS)
def test_a_way_to_fill_a_parameter_keeps_its_distribution(way: str) -> None:
    torch.manual_seed(0)
    plain = WAYS[way]()
    ours = initialised(lambda: OneOf(WAYS[way], 0), 1).get_parameter("weight").detach()
    assert stats.ks_2samp(plain.flatten(), ours.flatten()).pvalue > 1e-3
    constant = (
        torch.stack([plain] + [WAYS[way]() for _ in range(40)]).var(0) == 0
    )  # what the code sets without chance
    assert torch.equal(ours[constant], plain[constant])


def test_an_orthogonal_matrix_stays_orthogonal() -> None:
    model = initialised(lambda: OneOf(lambda: nn.init.orthogonal_(torch.empty(30, 40)), 1), 1)
    w = model.get_parameter("weight")
    torch.testing.assert_close(w @ w.t(), torch.eye(30))


@pytest.mark.parametrize("way", ["randn", "rejecting", "orthogonal"])
def test_equal_shapes_are_drawn_apart(way: str) -> None:
    model = initialised(lambda: nn.ParameterList([WAYS[way](), WAYS[way]()]), 1)
    first, second = model.parameters()
    assert torch.isclose(first, second).float().mean() < 0.01


def test_a_reset_after_a_random_fill_is_not_undone() -> None:
    model = initialised(lambda: OneOf(lambda: torch.empty(40, 30).normal_().zero_(), 0), 1)
    assert not model.get_parameter("weight").any()


def test_what_weights_are_loaded_into_is_the_same_apart_from_them() -> None:
    class Shaken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3))
            nn.init.normal_(self.weight)
            self.register_buffer("noise", torch.rand(5), persistent=False)
            self.scale = float(torch.rand(()))

    for seed in (0, 1):
        whole, rest = initialised(Shaken, seed), unfilled(Shaken, seed)
        assert not torch.equal(whole.weight, rest.weight)
        assert torch.equal(whole.noise, rest.noise)
        assert whole.scale == rest.scale
