"""Checkpoints that are damaged: a ValueError, after which a trial trains from the start."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import torch
from fuzz_data_helpers import anything, examples, looking, overwritten
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from foundry.cli import checkpoint_faults
from foundry.training import checkpoint


def small() -> tuple[nn.Module, list[torch.optim.Optimizer]]:
    """Make a model with a vocabulary, and an optimizer that has a state."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 5, bias=False))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model(torch.arange(5)).sum().backward()
    optimizer.step()
    return model, [optimizer]


def load(path: Path, written: dict[str, torch.Tensor]) -> None:
    """Load a checkpoint, which is as it was written or else refused."""
    model, optimizers = small()
    with contextlib.suppress(ValueError):
        assert checkpoint.load(path, model, optimizers) == 9
        assert all(torch.equal(tensor, written[name]) for name, tensor in model.state_dict().items())


@examples
def test_bytes(examples: int, tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "key" / "9.safetensors"
    checkpoint.save(path, *small(), 9)
    content, written = path.read_bytes(), small()[0].state_dict()

    @looking(examples)
    @given(overwritten(content) | st.binary(max_size=100))
    def check(damaged: bytes) -> None:
        path.write_bytes(damaged)
        load(path, written)
        list(checkpoint_faults.faults(tmp_path / "checkpoints"))

    check()


@examples
def test_headers(examples: int, tmp_path: Path) -> None:
    path = tmp_path / "9.safetensors"
    checkpoint.save(path, *small(), 9)
    content, written = path.read_bytes(), small()[0].state_dict()
    length = int.from_bytes(content[:8], "little")
    header, tensors = json.loads(content[8 : 8 + length]), content[8 + length :]
    names = sorted(header)

    @looking(examples)
    @given(
        st.sampled_from(names),
        st.none() | anything | st.sampled_from(names).map(header.get),
        st.sampled_from(
            [*names, "model.x", "optimizer.0.9.step", "optimizer.0.x.y", "optimizer.7", "__metadata__"]
        ),
    )
    def check(old: str, value: object, new: str) -> None:
        changed = {**header, new: header[old]}
        if value is not None:
            changed[old] = value
        else:
            del changed[old]
        line = json.dumps(changed).encode()
        path.write_bytes(len(line).to_bytes(8, "little") + line + tensors)
        load(path, written)

    check()
