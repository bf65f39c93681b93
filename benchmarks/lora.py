"""What a training step costs with LoRA, against one that trains everything: time and memory.

    python benchmarks/lora.py [30m smollm2] [--rows 1] [--block 256] [--rank 16] [--targets NAME ...]

The Llama seed model in float32 with AdamW, on one thread, as the training loop steps: forward, backward,
clipping, update. Time: both models live in one process and take turns, so that what else the machine does
meets both; medians over the rounds. Memory: each alone in a process of its own, the most that it ever held
above what it held before there was a model. `smollm2` is SmolLM2-135M's architecture: 30 layers of 576, 9
heads over 3, 49,152 tokens, embeddings tied; weights are random, for they make no difference here.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from foundry.lora.adapt import adapt
from foundry.lora.settings import Lora
from foundry.seed import read_model
from foundry.source import build_model, load_module
from foundry.training import pages
from foundry.training.experiment import Training
from foundry.training.loop import build_optimizers

SIZES: dict[str, dict[str, object]] = {
    "30m": {"n_layer": 8, "n_head": 8, "n_kv_head": 4, "n_embd": 512, "vocab_size": 8192},
    "smollm2": {"n_layer": 30, "n_head": 9, "n_kv_head": 3, "n_embd": 576, "vocab_size": 49152},
}
TIED = {"smollm2"}
ROUNDS = 7


def main() -> None:
    """Measure and print, or, called by itself, take some steps and print the memory."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=list(SIZES))
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--block", type=int, default=256)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--targets", nargs="*", default=[])
    parser.add_argument("--alone", choices=("full", "lora"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    pages.keep()  # as a training does
    for name in options.names:
        if options.alone:
            print(memory(stepper, name, options, options.alone == "lora"))
        else:
            report(name, options)


def report(name: str, options: argparse.Namespace) -> None:
    """Print both ratios of one model."""
    steps = {kind: stepper(name, options, kind == "lora") for kind in ("full", "lora")}
    times: dict[str, list[float]] = {kind: [] for kind in steps}
    for _ in range(ROUNDS):
        for kind, step in steps.items():
            started = time.perf_counter()
            step()
            times[kind].append(time.perf_counter() - started)
    full, lora = (statistics.median(times[kind][1:]) for kind in ("full", "lora"))
    peak = {kind: alone(name, options, kind) for kind in ("full", "lora")}
    print(
        f"{name}, {options.rows} x {options.block} tokens: full {full * 1e3:.0f} ms, {peak['full']:.0f} MB; "
        f"LoRA {lora * 1e3:.0f} ms, {peak['lora']:.0f} MB: "
        f"{lora / full:.0%} of the time, {peak['lora'] / peak['full']:.0%} of the memory",
        flush=True,
    )


def stepper(name: str, options: argparse.Namespace, lora: bool) -> Callable[[], None]:
    """Make a model and return what takes one step of its training."""
    torch.manual_seed(0)
    sizes = {**SIZES[name], "block_size": options.block}
    model = build_model(load_module(read_model("v2")), sizes)
    if name in TIED:
        model.get_submodule("lm_head").weight = model.get_submodule("embed_tokens").weight
    if lora:
        settings = Lora(rank=options.rank, targets=tuple(options.targets))
        print(adapt(model, settings, seed=0), file=sys.stderr)
    (optimizer,) = build_optimizers(model, Training())
    tokens = torch.randint(int(str(sizes["vocab_size"])), (options.rows, options.block + 1))
    trainable = [p for p in model.parameters() if p.requires_grad]

    def step() -> None:
        model(tokens[:, :-1], tokens[:, 1:].contiguous())[1].backward()
        nn.utils.clip_grad_norm_(trainable, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def alone(name: str, options: argparse.Namespace, kind: str) -> float:
    """Return the megabytes of one kind of training, measured in a process of its own."""
    sizes = ["--rows", str(options.rows), "--block", str(options.block), "--rank", str(options.rank)]
    targets = ["--targets", *options.targets] if options.targets else []
    command = [sys.executable, __file__, name, *sizes, *targets, "--alone", kind]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return float(done.stdout)


def memory(make: Callable[..., Callable[[], None]], *args: object) -> float:
    """Return the megabytes that three steps needed above what the process held at its most before."""
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))])  # whose first use imports much
    optimizer.step()
    before = peak_rss()
    step = make(*args)
    for _ in range(3):
        step()
    return peak_rss() - before


def peak_rss() -> float:
    """Return the most memory that this process ever held, in MB; Linux only.

    Not by getrusage, which counts what the process was before it became this program.
    """
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1e3


if __name__ == "__main__":
    main()
