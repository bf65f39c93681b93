"""What a training step costs with each kind of attention, beside dense multi-head attention.

    python benchmarks/attention.py

Each model is v1 with one edit of the operator `attention`: 2 layers of 6 heads, 384 wide, block 1024, one
sequence a step, one thread, float32. Steps (forward and backward) of all kinds take turns, so that a busy
machine slows all alike. Printed are medians and their ratios to the dense model's, for the whole step and for
one attention layer with its projections.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

import operators
from foundry.source import build_model, load_module
from operators import Source

ROOT = Path(__file__).parents[1]
SIZES = {"n_layer": 2, "n_head": 6, "n_embd": 384, "block_size": 1024, "vocab_size": 65, "bias": False}
VARIANTS = (
    *("gqa_2kv", "gqa_1kv", "mla"),
    *("sliding_window_32", "sliding_window_64", "sliding_window_128", "sliding_window_256", "local_global_2"),
    *("block_sparse_32", "block_sparse_64", "block_sparse_128"),
    *("strided_16", "strided_32", "strided_64"),
)
ROUNDS = 15


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    models = {variant: model(variant) for variant in ("dense", *VARIANTS)}
    tokens = torch.randint(65, (1, 1025), generator=torch.Generator().manual_seed(0))
    stream = torch.randn(1, 1024, 384, generator=torch.Generator().manual_seed(1))
    steps = {name: step(made, tokens) for name, made in models.items()}
    layers = {name: layer(made, stream) for name, made in models.items()}
    whole, part = medians(steps), medians(layers)
    print(f"{'':<22}{'step':>9}{'ratio':>8}{'one layer':>12}{'ratio':>8}")
    for name in models:
        print(
            f"{name:<22}{whole[name]:6.0f} ms{whole[name] / whole['dense']:8.2f}"
            f"{part[name]:9.0f} ms{part[name] / part['dense']:8.2f}"
        )


def model(variant: str) -> nn.Module:
    """Build v1 with one edit, or as it is."""
    lines = "".join(f"  {name}: {value}\n" for name, value in SIZES.items())
    source = Source((ROOT / "foundry/models/v1.py").read_text("utf-8"), f"model_args:\n{lines}")
    if variant != "dense":
        edits = operators.load()["attention"].sites(source)
        source = operators.apply(source, next(edit for edit in edits if edit.variant == variant))
    torch.manual_seed(0)
    return build_model(load_module(source.model), SIZES)


def step(made: nn.Module, tokens: torch.Tensor) -> Callable[[], None]:
    """Return forward and backward of the whole model."""
    return lambda: made(tokens[:, :-1], tokens[:, 1:])[1].backward()


def layer(made: nn.Module, stream: torch.Tensor) -> Callable[[], None]:
    """Return forward and backward of the first attention layer."""
    attention = next(module for name, module in made.named_modules() if name.endswith(".attn"))
    return lambda: attention(stream).sum().backward()


def medians(actions: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Return the median milliseconds of each action; they take turns."""
    taken: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(ROUNDS):
        for name, action in actions.items():
            started = time.perf_counter()
            action()
            taken[name].append((time.perf_counter() - started) * 1e3)
    return {name: statistics.median(times[1:]) for name, times in taken.items()}


if __name__ == "__main__":
    main()
