"""What every reference module promises, each in the smallest model that uses it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foundry.decoding.decoder import CachedDecoder
from foundry.modules.alibi import ALiBi
from foundry.modules.block_sparse import BlockSparseAttention
from foundry.modules.causal_conv import CausalConv
from foundry.modules.geglu import GEGLU
from foundry.modules.glu import GLU
from foundry.modules.latent_attention import LatentKeyValue
from foundry.modules.layernorm import LayerNorm
from foundry.modules.moe import MoE
from foundry.modules.partial_rope import PartialRotaryEmbedding
from foundry.modules.reglu import ReGLU
from foundry.modules.relative_bias import RelativeBias
from foundry.modules.relu2glu import ReLU2GLU
from foundry.modules.rmsnorm import RMSNorm
from foundry.modules.rope import RotaryEmbedding
from foundry.modules.shared_expert import SharedExpert
from foundry.modules.sliding_window import SlidingWindowAttention
from foundry.modules.squared_relu import SquaredReLU
from foundry.modules.strided import StridedAttention
from foundry.modules.swiglu import SwiGLU
from foundry.modules.token_shift import TokenShift

FILES = Path(__file__).parents[2] / "foundry" / "modules"
VOCABULARY, LENGTH, WIDTH, HEADS = 31, 24, 32, 4
HEAD = WIDTH // HEADS


class Model(nn.Module):
    """Attend around one module; `use` says where it stands in attention, nothing that it stands before it."""

    def __init__(self, module: nn.Module, use: str) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.qkv, self.head = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, VOCABULARY)
        self.module, self.use = module, use

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = self.embed(idx)
        if self.use == "before":
            x = self.module(x)
        q, k, v = self.qkv(x).split(WIDTH, dim=-1)
        if self.use == "keys and values":
            k, v = self.module(x)
        q, k, v = (y.view(*idx.shape, HEADS, HEAD).transpose(1, 2) for y in (q, k, v))
        if self.use == "rotation":
            q, k = self.module(q), self.module(k)
        if self.use == "attention":
            y = self.module(q, k, v)
        elif self.use == "bias":
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=self.module(q))
        else:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        logits = self.head(x + y.transpose(1, 2).reshape(*idx.shape, WIDTH))
        return logits, logits.square().mean()


def experts() -> MoE:
    return MoE(
        WIDTH, [nn.Sequential(nn.Linear(WIDTH, 8), nn.GELU(), nn.Linear(8, WIDTH)) for _ in range(4)], 2
    )


MODULES: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    "alibi": ("bias", lambda: ALiBi(HEADS, LENGTH)),
    "block_sparse": ("attention", lambda: BlockSparseAttention(4)),
    "causal_conv": ("before", lambda: CausalConv(WIDTH)),
    "geglu": ("before", lambda: GEGLU(WIDTH, WIDTH)),
    "glu": ("before", lambda: GLU(WIDTH, WIDTH)),
    "latent_attention": ("keys and values", lambda: LatentKeyValue(WIDTH, HEADS, 12, shared_dim=4)),
    "layernorm": ("before", lambda: LayerNorm(WIDTH)),
    "moe": ("before", experts),
    "partial_rope": ("rotation", lambda: PartialRotaryEmbedding(HEAD // 2, LENGTH)),
    "reglu": ("before", lambda: ReGLU(WIDTH, WIDTH)),
    "relative_bias": ("bias", lambda: RelativeBias(HEADS, LENGTH)),
    "relu2glu": ("before", lambda: ReLU2GLU(WIDTH, WIDTH)),
    "rmsnorm": ("before", lambda: RMSNorm(WIDTH)),
    "rope": ("rotation", lambda: RotaryEmbedding(HEAD, LENGTH)),
    "shared_expert": ("before", lambda: SharedExpert(nn.Linear(WIDTH, WIDTH), experts())),
    "sliding_window": ("attention", lambda: SlidingWindowAttention(5)),
    "squared_relu": ("before", SquaredReLU),
    "strided": ("attention", lambda: StridedAttention(4)),
    "swiglu": ("before", lambda: SwiGLU(WIDTH, WIDTH)),
    "token_shift": ("before", TokenShift),
}


@pytest.fixture(params=MODULES, name="model")
def _model(request: pytest.FixtureRequest) -> Model:
    """A model with noise on every parameter, so that what starts at zero or one counts as well."""
    use, build = MODULES[request.param]
    torch.manual_seed(0)
    model = Model(build(), use)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model.eval()


def tokens(rows: int = 2, length: int = LENGTH, seed: int = 0) -> Tensor:
    return torch.randint(VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(seed))


def test_every_module_is_here() -> None:
    assert {path.stem for path in FILES.glob("*.py")} - {"__init__"} == set(MODULES)


@pytest.mark.parametrize("length", [1, 2, 7, LENGTH])
def test_shapes(model: Model, length: int) -> None:
    logits = model(tokens(3, length))[0]
    assert logits.shape == (3, length, VOCABULARY)
    assert logits.isfinite().all()


def test_bfloat16_is_near_float32(model: Model) -> None:
    low = copy.deepcopy(model).to(torch.bfloat16)(tokens())[0]
    assert low.dtype == torch.bfloat16
    exact = model(tokens())[0]
    assert (low.float() - exact).square().mean().sqrt() < 0.03 * exact.std()


def test_every_parameter_learns(model: Model) -> None:
    model.train()(tokens(8))[1].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_no_token_sees_a_later_one(model: Model) -> None:
    text, other = tokens(), tokens(seed=1)
    before = model(text)[0]
    for t in (0, 3, 11, LENGTH - 2):
        future = torch.cat((text[:, : t + 1], other[:, t + 1 :]), dim=1)
        torch.testing.assert_close(model(future)[0][:, : t + 1], before[:, : t + 1])


@pytest.mark.parametrize("pieces", [[1] * LENGTH, [9, 1, 5, 2, 7]], ids=["one by one", "in pieces"])
def test_decoding_from_a_cache_is_the_full_forward(model: Model, pieces: list[int]) -> None:
    text, decoder, end = tokens(), CachedDecoder(model), 0
    exact = model(text)[0].detach()
    for piece in pieces:
        logits = decoder.extend(text[:, end : end + piece])
        end += piece
        torch.testing.assert_close(logits, exact[:, end - 1], rtol=1e-4, atol=1e-5)
    assert decoder.reason == ""
    assert decoder.length == LENGTH
    assert decoder.cache.nbytes > 0
