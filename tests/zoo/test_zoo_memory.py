"""Loading takes the memory of the weights and no more: no page is read before it is used, none is copied."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from foundry.seed import read_model
from foundry.source import build_model, load_module
from foundry.zoo.filling import loaded

LLAMA = {"n_layer": 2, "n_head": 8, "n_kv_head": 8, "n_embd": 512, "n_ffn": 2048, "vocab_size": 32000}
MEGABYTE = 1 << 20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def resident() -> int:
    """Return the bytes of this process that lie in memory, pages of files among them."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def mapped(path: Path) -> int:
    """Return the bytes of address space that mappings of a file take."""
    total = 0
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(str(path)):
            start, _, end = line.split()[0].partition("-")
            total += int(end, 16) - int(start, 16)
    return total


def checkpoint(folder: Path, dtype: torch.dtype) -> int:
    """Write a checkpoint of zeros; return its size."""
    with torch.device("meta"):
        model = build_model(load_module(read_model("llama")), LLAMA)
    tensors = {name: torch.zeros(p.shape, dtype=dtype) for name, p in model.named_parameters()}
    save_file(tensors, folder / "model.safetensors")
    return (folder / "model.safetensors").stat().st_size


@torch.no_grad()
def test_weights_of_the_same_dtype_are_pages_of_the_file(tmp_path: Path) -> None:
    size = checkpoint(tmp_path, torch.float32)
    assert size > 150 * MEGABYTE
    before = resident()
    model = loaded(read_model("llama"), LLAMA, tmp_path)
    assert resident() - before < 20 * MEGABYTE
    for parameter in model.parameters():
        parameter.sum()
    assert resident() - before < size + 20 * MEGABYTE
    assert mapped(tmp_path / "model.safetensors") <= 2 * size + MEGABYTE  # once, not for every tensor


@torch.no_grad()
def test_weights_of_another_dtype_are_converted_one_at_a_time(tmp_path: Path) -> None:
    size = 2 * checkpoint(tmp_path, torch.bfloat16)
    before = resident()
    model = loaded(read_model("llama"), LLAMA, tmp_path)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert resident() - before < size + 20 * MEGABYTE
    assert mapped(tmp_path / "model.safetensors") == 0
