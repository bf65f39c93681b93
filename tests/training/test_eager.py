"""Optimizers and modes of torch without the wrapping for its compiler do what they do with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch
from torch import nn

from foundry.training import eager

ROOT = Path(__file__).parents[2]
IMPORTS_NO_COMPILER = """
import sys
from foundry.cli.train import main
assert main(sys.argv[1:]) == 0
assert not {"torch._dynamo", "rich"} & set(sys.modules), "a training needs neither"
"""


def trained(kind: type[torch.optim.AdamW], steps: int = 5) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 4))
    weights, biases = ([p for p in model.parameters() if p.dim() == dim] for dim in (2, 1))
    groups = [{"params": weights, "weight_decay": 0.1}, {"params": biases, "weight_decay": 0.0}]
    optimizer = kind(groups, lr=1e-2, betas=(0.9, 0.99), fused=True)
    for _ in range(steps):
        model(torch.randn(3, 8)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer


def test_it_updates_as_torch_does_bit_for_bit() -> None:
    (ours, own), (theirs, reference) = trained(eager.optimizer(torch.optim.AdamW)), trained(torch.optim.AdamW)
    assert type(own).__name__ == "AdamW"
    assert isinstance(own, torch.optim.AdamW)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, other)
    mine, other = own.state_dict(), reference.state_dict()
    assert mine["param_groups"] == other["param_groups"]
    assert all(torch.equal(mine["state"][i][k], v) for i, s in other["state"].items() for k, v in s.items())


def test_its_state_can_be_loaded() -> None:
    kind = eager.optimizer(torch.optim.AdamW)
    model, optimizer = trained(kind)
    again = kind(optimizer.param_groups, fused=True)
    again.load_state_dict(optimizer.state_dict())
    for parameter in model.parameters():
        assert torch.equal(again.state[parameter]["exp_avg"], optimizer.state[parameter]["exp_avg"])


def test_torch_keeps_its_own() -> None:
    before = dict(vars(torch.optim.AdamW))
    eager.optimizer(torch.optim.AdamW)
    assert dict(vars(torch.optim.AdamW)) == before


def test_a_training_imports_no_compiler(tmp_path: Path) -> None:
    arguments = [ROOT / "experiments" / "micro.yaml", "--out", tmp_path / "out"]
    subprocess.run(
        [sys.executable, "-c", IMPORTS_NO_COMPILER, *map(str, arguments)],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )
