"""Gated linear units against their formulas, and the sparse mixture of experts against a dense one."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn as nn
from torch.nn import functional as F

from foundry.modules.geglu import GEGLU
from foundry.modules.glu import GLU
from foundry.modules.moe import MoE
from foundry.modules.reglu import ReGLU
from foundry.modules.relu2glu import ReLU2GLU
from foundry.modules.shared_expert import SharedExpert
from foundry.modules.swiglu import SwiGLU

WIDTH = 8
FORMULAS = {
    GLU: lambda z: 1 / (1 + np.exp(-z)),
    ReGLU: lambda z: np.maximum(z, 0),
    GEGLU: lambda z: z * (1 + np.vectorize(math.erf)(z / math.sqrt(2))) / 2,
    SwiGLU: lambda z: z / (1 + np.exp(-z)),
    ReLU2GLU: lambda z: np.maximum(z, 0) ** 2,
}


class MLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(WIDTH, 16), nn.Linear(16, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(F.gelu(self.up(x)))


def mixture(experts: int, top_k: int) -> MoE:
    torch.manual_seed(0)
    return MoE(WIDTH, [MLP() for _ in range(experts)], top_k)


def dense(moe: MoE, x: torch.Tensor) -> torch.Tensor:
    """Run every expert over every token, and add up with weights that are 0 for all but the best."""
    probs = F.linear(x, moe.router.weight).softmax(-1)
    kth = probs.sort(dim=-1, descending=True).values[..., moe.top_k - 1 : moe.top_k]
    weight = torch.where(probs >= kth, probs, 0.0)
    if moe.top_k > 1:
        weight = weight / weight.sum(-1, keepdim=True)
    return sum(weight[..., [e]] * expert(x) for e, expert in enumerate(moe.experts))


@pytest.fixture(name="x")
def _x() -> torch.Tensor:
    return torch.randn(3, 5, WIDTH, generator=torch.Generator().manual_seed(1))


SHAPES = pytest.mark.parametrize(("experts", "top_k"), [(4, 1), (4, 2), (8, 2), (3, 3)])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("unit", FORMULAS)
def test_units_agree_with_their_formulas(unit: type[nn.Module], bias: bool, x: torch.Tensor) -> None:
    torch.manual_seed(0)
    module = unit(WIDTH, 12, bias=bias)
    weights = {name: p.detach().double().numpy() for name, p in module.named_parameters()}
    gate, up = (
        x.double().numpy() @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0.0)
        for name in ("gate", "up")
    )
    np.testing.assert_allclose(module(x).detach().numpy(), FORMULAS[unit](gate) * up, atol=1e-6)
    assert len(weights) == (4 if bias else 2)


@pytest.mark.parametrize("module", [*(unit(WIDTH, WIDTH) for unit in FORMULAS), mixture(4, 1), mixture(8, 2)])
def test_shapes_dtypes_and_gradients(module: nn.Module, x: torch.Tensor) -> None:
    low = copy.deepcopy(module).to(torch.bfloat16)(x.to(torch.bfloat16))
    assert low.dtype == torch.bfloat16
    assert low.shape == x.shape
    assert low.isfinite().all()
    x = x.clone().requires_grad_()
    module(x).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


@pytest.mark.parametrize("unit", FORMULAS)
def test_units_in_bfloat16_agree_with_float32(unit: type[nn.Module], x: torch.Tensor) -> None:
    torch.manual_seed(0)
    module = unit(WIDTH, 12)
    low = copy.deepcopy(module).to(torch.bfloat16)(x.to(torch.bfloat16))
    torch.testing.assert_close(low.float(), module(x), atol=0.03, rtol=0.03)


@SHAPES
def test_sparse_agrees_with_dense(experts: int, top_k: int, x: torch.Tensor) -> None:
    sparse, masked = mixture(experts, top_k), mixture(experts, top_k)
    torch.testing.assert_close(sparse(x), dense(masked, x))
    sparse(x).square().sum().backward()
    dense(masked, x).square().sum().backward()
    for (name, mine), theirs in zip(sparse.named_parameters(), masked.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, msg=name)


@SHAPES
def test_sparse_agrees_with_dense_under_autocast(experts: int, top_k: int, x: torch.Tensor) -> None:
    moe = mixture(experts, top_k)
    with torch.autocast("cpu", torch.bfloat16):
        low = moe(x)
    torch.testing.assert_close(low.float(), dense(moe, x), atol=0.03, rtol=0.03)


@SHAPES
def test_experts_see_their_own_tokens_alone(experts: int, top_k: int, x: torch.Tensor) -> None:
    moe, seen = mixture(experts, top_k), []
    for expert in moe.experts:
        expert.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    moe(x)
    assert sum(len(rows) for rows in seen) == 15 * top_k
    chosen = moe.router(x.flatten(0, 1)).topk(top_k).indices
    for e, rows in enumerate(seen):
        torch.testing.assert_close(rows, x.flatten(0, 1)[(chosen == e).any(-1)])


@SHAPES
def test_what_becomes_of_a_token_depends_on_no_other(experts: int, top_k: int, x: torch.Tensor) -> None:
    moe = mixture(experts, top_k)
    other = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    other[1, 2] = x[1, 2]
    torch.testing.assert_close(moe(other)[1, 2], moe(x)[1, 2])
    torch.testing.assert_close(moe(x[1:2, 2:3])[0, 0], moe(x)[1, 2])
    torch.testing.assert_close(moe(x.flip(0, 1)), moe(x).flip(0, 1))


def test_idle_experts_get_gradients_of_zero() -> None:
    moe = mixture(8, 1)
    moe(torch.ones(1, 1, WIDTH)).sum().backward()
    busy = [expert for expert in moe.experts if expert.up.weight.grad.any()]
    assert len(busy) == 1
    assert all(p.grad is not None for p in moe.parameters())


@pytest.mark.parametrize("top_k", [1, 2])
def test_the_router_learns_from_the_task(top_k: int, x: torch.Tensor) -> None:
    moe = mixture(4, top_k)
    moe(x).square().sum().backward()
    assert moe.router.weight.grad.any()


@SHAPES
def test_the_balancing_loss_is_that_of_the_paper(experts: int, top_k: int, x: torch.Tensor) -> None:
    """Experts times the sum over them of the share of slots they get and the mean of their probability."""
    moe = mixture(experts, top_k)
    moe(x)
    scores = x.reshape(-1, WIDTH).double().numpy() @ moe.router.weight.detach().double().numpy().T
    probs = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    shares = np.bincount(np.argsort(-probs)[:, :top_k].ravel(), minlength=experts) / (15 * top_k)
    assert moe.aux_loss.item() == pytest.approx(experts * (shares * probs.mean(0)).sum(), rel=1e-5)


def test_the_balancing_loss_is_kept_in_training_alone(x: torch.Tensor) -> None:
    moe = mixture(4, 1)
    moe(x)
    assert moe.aux_loss.requires_grad
    moe.eval()(x)
    assert moe.aux_loss == 0.0
    assert set(moe.state_dict()) == {name for name, _ in moe.named_parameters()}


def test_the_balancing_loss_balances() -> None:
    moe, x = mixture(4, 1), torch.randn(64, WIDTH, generator=torch.Generator().manual_seed(3))
    x[:, 0] = 2.0
    with torch.no_grad():
        moe.router.weight[0, 0] += 2.0  # nearly all tokens prefer the first expert
    optimizer = torch.optim.Adam(moe.router.parameters(), lr=0.05)
    loads = []
    for _ in range(60):
        moe(x)
        loads.append(moe.router(x).argmax(-1).bincount(minlength=4).max().item())
        optimizer.zero_grad()
        moe.aux_loss.backward()
        optimizer.step()
    assert loads[0] > 56
    assert loads[-1] < 28


def test_a_shared_expert_serves_every_token(x: torch.Tensor) -> None:
    torch.manual_seed(4)
    shared, routed = MLP(), mixture(4, 1)
    torch.testing.assert_close(SharedExpert(shared, routed)(x), shared(x) + routed(x))
