"""Mixtures of experts in place of feed-forward layers: what is written, how it trains, and the way back."""

import pytest
import torch
from feedforward_support import LINEARS, SIZES, built, changed, diff, edits, layer
from operator_support import ROOT, foreign_source, seed_source
from torch.nn import functional as F

from foundry import gates
from foundry.training.optimizers.muon import hidden_matrices
from operators import Source

MIXTURES = ("4x1", "4x2", "8x2", "4x1-shared")


@pytest.mark.parametrize("seed", ["v1", "v2"])
def test_a_mixture_goes_as_it_came(seed: str) -> None:
    source = seed_source(seed)
    for variant in MIXTURES:
        mixed = changed(source, ("moe", variant))
        assert set(edits(mixed, "moe")) == {"dense"}
        assert changed(mixed, ("moe", "dense")) == source


def test_a_mixture_is_two_lines_beside_its_class() -> None:
    source = seed_source("v1")
    after = diff(source, changed(source, ("moe", "4x1")))
    head, _, rest = after.partition("+class MoE(nn.Module):")
    lines = rest.splitlines()
    assert head == ""
    assert lines[-3:] == [
        "-        self.mlp = MLP(config)",
        "+        self.mlp = MoE(config.n_embd, [MLP(config) for _ in range(4)], top_k=1)",
        "+        loss = loss + 0.01 * sum(m.aux_loss for m in self.modules() if isinstance(m, MoE))",
    ]
    assert not [line for line in lines[:-3] if line.startswith("-")]


@pytest.mark.parametrize(("variant", "experts", "active"), [("4x1", 4, 1), ("4x2", 4, 2), ("8x2", 8, 2)])
def test_experts_are_sized_so_that_active_parameters_are_those_of_the_dense_layer(
    variant: str, experts: int, active: int
) -> None:
    source = seed_source("v1")
    dense = sum(p.numel() for p in built(source).transformer.h[0].mlp.parameters())
    mixture = built(changed(source, ("moe", variant))).transformer.h[0].mlp
    each = [sum(p.numel() for p in expert.parameters()) for expert in mixture.experts]
    assert len(each) == experts
    assert active * each[0] == pytest.approx(dense, rel=0.02)


@pytest.mark.parametrize("seed", ["v1", "v2"])
@pytest.mark.parametrize("variant", MIXTURES)
def test_the_balancing_loss_reaches_training_and_nothing_else(seed: str, variant: str) -> None:
    model = built(changed(seed_source(seed), ("moe", variant)))
    mixtures = [module for module in model.modules() if type(module).__name__ == "MoE"]
    idx = torch.randint(32, (2, 16), generator=torch.Generator().manual_seed(1))
    logits, loss = model(idx, idx)
    aux = loss - F.cross_entropy(logits.flatten(0, 1), idx.flatten())
    assert len(mixtures) == 2
    assert aux.item() == pytest.approx(0.01 * sum(m.aux_loss.item() for m in mixtures), rel=1e-3)
    aux.backward()
    assert all(m.router.weight.grad.any() for m in mixtures)
    logits, loss = model.eval()(idx, idx)
    assert loss.item() == F.cross_entropy(logits.flatten(0, 1), idx.flatten()).item()


ENDINGS = [
    """\
        loss = F.cross_entropy(logits, targets)
        loss = loss + AUX
        return logits, loss
""",
    """\
        loss = None
        if targets is not None:
            loss = F.cross_entropy(logits, targets)
            loss += logits.square().mean()
            loss = loss + AUX
        return logits, loss
""",
    """\
        loss = None if targets is None else F.cross_entropy(logits, targets)
        if loss is not None:
            loss = loss + AUX
        return logits, loss
""",
    """\
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits, targets) + AUX
""",
]


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_balancing_loss_is_added_where_the_model_has_its_own(ending: str) -> None:
    mlp = layer(LINEARS, "        return self.out(F.gelu(self.fc(x)))\n", head="import torch.nn as nn\n")
    start = (
        f"{mlp.model}\n\nclass GPT(nn.Module):\n    def __init__(self, dim):\n        super().__init__()\n"
        "        self.wte = nn.Embedding(9, dim)\n        self.mlp = MLP(dim, 0)\n\n"
        "    def forward(self, idx, targets=None):\n        logits = self.mlp(self.wte(idx))\n"
    )
    kept = [line for line in ending.splitlines() if "loss + AUX" not in line and "loss is not" not in line]
    source = Source(start + "\n".join(kept).replace(" + AUX", "") + "\n", "")
    mixed = changed(source, ("moe", "4x2"))
    aux = "0.01 * sum(m.aux_loss for m in self.modules() if isinstance(m, MoE))"
    assert mixed.model.endswith(ending.replace("AUX", aux))
    assert changed(mixed, ("moe", "dense")) == source


def test_a_sequential_in_a_block_becomes_experts() -> None:
    made = "nn.Sequential(nn.Linear(n_embd, 4 * n_embd), nn.ReLU(), nn.Linear(4 * n_embd, n_embd))"
    model = foreign_source("lecture").model.replace("self.ffwd = FeedFoward(n_embd)", f"self.ffwd = {made}")
    after = changed(Source(model.replace("class FeedFoward", "class Unused"), ""), ("moe", "4x2"))
    expert = made.replace("4", "2")
    assert f"    self.ffwd = MoE(n_embd, [{expert} for _ in range(4)], top_k=2)\n" in after.model


@pytest.mark.parametrize(
    "forward",
    [
        "        x = torch.cat((x[:, :1], x[:, :-1]), dim=1)\n        return self.out(F.gelu(self.fc(x)))\n",
        "        B, T, C = x.shape\n        return self.out(F.gelu(self.fc(x)))\n",
    ],
)
def test_layers_that_see_more_than_one_token_become_no_experts(forward: str) -> None:
    source = seed_source("v1")
    start, end = source.model.index("class MLP"), source.model.index("class Block")
    mlp = layer(LINEARS, forward).model
    mlp = mlp[mlp.index("class MLP") :].replace("dim, hidden", "config").replace("dim)", "config.n_embd)")
    mlp = mlp.replace("(dim,", "(config.n_embd,").replace("* dim,", "* config.n_embd,")
    odd = Source(source.model[:start] + mlp + "\n\n" + source.model[end:], source.experiment)
    assert edits(odd, "gating")
    assert edits(odd, "moe") == {}


def test_mixtures_are_offered_for_sources_from_elsewhere() -> None:
    for name in ("llama_like", "lecture", "speedrun"):
        assert set(edits(foreign_source(name), "moe")) == set(MIXTURES)
    halved = changed(foreign_source("llama_like"), ("moe", "4x2")).model
    assert "        hidden = config.intermediate_size // 2\n" in halved


def test_a_layer_of_two_uses_keeps_its_width() -> None:
    source = seed_source("v1")
    line = "        self.mlp = MLP(config)\n"
    two = Source(source.model.replace(line, line + "        self.again = MLP(config)\n"), source.experiment)
    assert set(edits(two, "moe")) == {"4x1"}


def test_experts_begin_as_the_dense_layer_does() -> None:
    model = built(changed(seed_source("v1"), ("moe", "8x2")))
    for name, weight in model.named_parameters():
        if ".experts." in name and name.endswith(".weight"):
            std = 0.02 / 2 if name.endswith("c_proj.weight") else 0.02
            assert weight.std().item() == pytest.approx(std, rel=0.1), name
    matrices = {id(p) for p in hidden_matrices(model)}
    assert all(
        id(p) in matrices for name, p in model.named_parameters() if ".experts." in name and p.dim() == 2
    )


def test_experts_stay_open_to_other_edits() -> None:
    mixed = changed(seed_source("v1"), ("moe", "4x2"))
    steps = (
        ("swap_activation", "relu2"),
        ("gating", "swiglu"),
        ("ffn_ratio", "3"),
        ("zero_init", "projections"),
    )
    for step in steps:
        mixed = changed(mixed, step)
        assert "[MLP(config) for _ in range(4)]" in mixed.model
    experts = built(mixed).transformer.h[0].mlp.experts
    assert experts[0].c_gate.weight.shape == (144, 48)
    assert not experts[3].c_proj.weight.any()


@pytest.mark.parametrize("seed", ["v1", "v2"])
@pytest.mark.parametrize(
    "steps",
    [
        *([("moe", variant)] for variant in MIXTURES),
        [("gating", "glu")],
        [("moe", "8x2"), ("gating", "glu"), ("zero_init", "projections")],
    ],
)
def test_candidates_pass_every_gate(seed: str, steps: list[tuple[str, str]]) -> None:
    source = changed(seed_source(seed), *steps)
    assert gates.check(gates.Subject(source=source.model, model_args=SIZES, batch_size=4)) is None


def test_reference_modules_are_copied_as_they_are() -> None:
    text = (ROOT / "foundry/modules/moe.py").read_text(encoding="utf-8")
    assert text[text.index("class MoE") :] in changed(seed_source("v1"), ("moe", "4x1")).model
