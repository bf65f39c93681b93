"""What must pass: every seed model in several configurations, and healthy sources of other kinds."""

from __future__ import annotations

from functools import cache

import pytest
from gates_helpers import (
    CPU_RECIPE,
    LAST_LOGITS,
    LOGITS,
    SEEDS,
    block,
    built,
    normed,
    seed_source,
    subject,
    v1_with,
)

from foundry import gates

CONFIGURATIONS: dict[str, dict[str, object]] = {
    "cpu recipe": {},
    "with bias": {"bias": True},
    "without bias, dropout": {"bias": False, "dropout": 0.2},
    "one layer": {"n_layer": 1},
    "six heads": {"n_head": 6, "n_embd": 96, "block_size": 32},
}
KEY_VALUE_HEADS: dict[str, dict[str, object]] = {
    "multi-query": {"n_kv_head": 1},
    "two key-value heads": {"n_kv_head": 2},
    "as many as heads": {"n_kv_head": 4},
    "three to one": {"n_head": 6, "n_kv_head": 2, "n_embd": 96},
}


@cache
def examined(seed: str, configuration: str) -> gates.Subject:
    """Share one subject among the gates of a configuration, as `check` does."""
    changes = (CONFIGURATIONS | KEY_VALUE_HEADS)[configuration]
    if "n_kv_head" not in changes and "n_kv_head" in seed_source(seed):
        changes = changes | {"n_kv_head": 2}
    return subject(seed_source(seed), **changes)


def cases() -> list[tuple[str, str]]:
    plain = [(seed, configuration) for seed in SEEDS for configuration in CONFIGURATIONS]
    grouped = [seed for seed in SEEDS if "n_kv_head" in seed_source(seed)]
    return plain + [(seed, configuration) for seed in grouped for configuration in KEY_VALUE_HEADS]


@pytest.mark.parametrize("gate", gates.names())
@pytest.mark.parametrize(("seed", "configuration"), cases())
def test_seed_model_passes(seed: str, configuration: str, gate: str) -> None:
    assert gates.run(gate, examined(seed, configuration)) is None


MLP = "        self.mlp = MLP(config)\n"
FROM_PRETRAINED = """    @classmethod
    def from_pretrained(cls, model_type):
        from transformers import GPT2LMHeadModel

        return GPT2LMHeadModel.from_pretrained(model_type)

    def crop_block_size(self, block_size):"""
EXPERTS = """
        self.experts = nn.ModuleList([nn.Linear(config.n_embd, config.n_embd) for _ in range(4)])
        self.router = nn.Linear(config.n_embd, 4, bias=False)

    def forward(self, x):
        weight, choice = self.router(x).softmax(-1).max(-1)
        y = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            rows, columns = torch.where(choice == number)
            chosen = expert(x[rows, columns]) * weight[rows, columns, None]
            y = y.index_put((rows, columns), chosen.to(y.dtype))
        return y


class Block"""
_V1 = seed_source("v1")
V1_MLP = _V1[_V1.index("        self.c_fc = ") : _V1.index("(nn.Module):", _V1.index("class Block"))]

ZERO_PROJECTIONS = ("std=0.02 / math.sqrt(2 * config.n_layer)", "std=0.0")
TIED = "        self.transformer.wte.weight = self.lm_head.weight  # tied: one matrix embeds and predicts\n"
NAMED = '            if name.endswith("c_proj.weight"):'
ZERO_HEAD = "            if name == 'lm_head.weight':\n                nn.init.zeros_(p)\n"
NORM = "def forward(self, x):\n        return F.layer_norm(x,"

HEALTHY = {
    "projections that start at zero": [ZERO_PROJECTIONS],
    "learned scale that starts at zero": [
        built("self.gain = nn.Parameter(torch.zeros(1))"),
        normed("x = x + self.gain * x.square()"),
    ],
    "untied head that starts at zero": [(TIED, ""), (NAMED, ZERO_HEAD + NAMED)],
    "from_pretrained as in nanoGPT": [("    def crop_block_size(self, block_size):", FROM_PRETRAINED)],
    "argument called input": [(NORM, NORM.replace("x", "input"))],
    "values read while it is built": [built("self.rates = torch.linspace(0, 0.1, 4).tolist()")],
    "mixture of experts": [(V1_MLP, EXPERTS)],
    "prints while it is built": [built("print('building')")],
    "annotations as strings": [
        ("import inspect\n", "from __future__ import annotations\n\nimport inspect\n")
    ],
    "frozen parameter": [built("self.spare = nn.Parameter(torch.ones(1), requires_grad=False)")],
    "bfloat16 inside": [normed("x = x.bfloat16().float()")],
    "norm that nothing follows": [normed("x = F.rms_norm(x, (x.size(-1),))")],
    "logits capped": [(LAST_LOGITS, f"{LAST_LOGITS}.tanh()"), (LOGITS, f"{LOGITS}.tanh()")],
    "causal convolution": [
        (MLP, f"{MLP}        self.conv = nn.Conv1d(config.n_embd, config.n_embd, 3)\n"),
        block("x = x + self.conv(F.pad(x.transpose(1, 2), (2, 0))).transpose(1, 2)"),
    ],
    "causal mean": [block("x = x + x.cumsum(1) / torch.arange(1, x.size(1) + 1)[:, None]")],
}


@pytest.mark.parametrize("kind", HEALTHY)
def test_healthy_source_passes(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert gates.check(subject(v1_with(*HEALTHY[kind]))) is None
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("kind", ["mixture of experts", "values read while it is built"])
def test_a_model_the_meta_device_cannot_run_passes_at_a_size_where_that_is_tried(kind: str) -> None:
    large = {"n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": 1100}
    model_args = CPU_RECIPE | large
    assert (
        gates.check(gates.Subject(source=v1_with(*HEALTHY[kind]), model_args=model_args, batch_size=2))
        is None
    )
