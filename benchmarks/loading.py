"""What loading a checkpoint takes: the most memory that the process held above what it held before.

    python -m benchmarks.loading [llama3-1b]

A checkpoint of random weights of a zoo model is written to a temporary folder as Hugging Face has them, in
bfloat16 and in float32, in shards; each is loaded in a process of its own, and one forward pass of 8 tokens
touches every weight. Memory counts the pages of files that are mapped: the weights of a model whose dtype is
that of its checkpoint are such pages, and may be given back when memory is short.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

from benchmarks.lora import peak_rss
from foundry.registry import load_part
from foundry.seed import read_model
from foundry.source import build_model, load_module
from foundry.zoo.entry import read
from foundry.zoo.filling import loaded

WAYS = (("bfloat16", "bfloat16"), ("float32", "float32"), ("bfloat16", "float32"))
SHARD = 1 << 30  # bytes


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="llama3-1b")
    parser.add_argument("--load", type=Path, help="only load what lies in this folder")
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.load:
        print(json.dumps(taken(options.model, options.load, getattr(torch, options.dtype))))
        return
    print(f"{options.model}: {read(options.model).parameters:,} parameters")
    for stored, wanted in WAYS:
        with tempfile.TemporaryDirectory() as folder:
            size = write(options.model, Path(folder), getattr(torch, stored)) / 1e9
            command = [sys.executable, "-m", "benchmarks.loading", options.model, "--load", folder]
            done = subprocess.run(
                [*command, "--dtype", wanted], check=True, stdout=subprocess.PIPE, text=True
            )
        memory, seconds, used = json.loads(done.stdout)
        print(
            f"{stored} ({size:.2f} GB) as {wanted}: loaded in {seconds:.1f} s and {memory:.2f} GB, "
            f"after a forward pass {used:.2f} GB",
            flush=True,
        )


def write(name: str, folder: Path, dtype: torch.dtype) -> int:
    """Write a checkpoint of random weights, a shard in memory at a time; return its bytes."""
    entry = read(name)
    with torch.device("meta"):
        model = build_model(load_module(read_model(entry.base_model)), entry.model_args)
    theirs = load_part("foundry/zoo/families", "family", entry.base_model).theirs
    generator = torch.Generator().manual_seed(0)
    where: dict[str, str] = {}
    for shard in shards(dict(model.named_parameters()), dtype):
        file = f"model-{len(set(where.values())) + 1:05d}.safetensors"
        random = {
            key: torch.randn(tensor.shape, generator=generator).mul_(0.02).to(dtype)
            for key, tensor in shard.items()
        }
        tensors = theirs(random)
        save_file(tensors, folder / file)
        where |= dict.fromkeys(tensors, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def shards(tensors: Mapping[str, torch.Tensor], dtype: torch.dtype) -> Iterator[dict[str, torch.Tensor]]:
    """Cut what a model has into parts of about a gigabyte."""
    part: dict[str, torch.Tensor] = {}
    for key, tensor in tensors.items():
        part[key] = tensor
        if sum(each.numel() for each in part.values()) * dtype.itemsize >= SHARD:
            yield part
            part = {}
    if part:
        yield part


def taken(name: str, folder: Path, dtype: torch.dtype) -> tuple[float, float, float]:
    """Load; return gigabytes, seconds, and gigabytes after a forward pass."""
    entry = read(name)
    source = read_model(entry.base_model)
    before, started = peak_rss(), time.perf_counter()
    model = loaded(source, entry.model_args, folder, dtype=dtype)
    seconds, memory = time.perf_counter() - started, peak_rss() - before
    tokens = torch.arange(8)[None]
    with torch.no_grad():
        model(tokens, tokens)
    return memory / 1e3, seconds, (peak_rss() - before) / 1e3


if __name__ == "__main__":
    main()
