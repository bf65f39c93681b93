"""What sparsity saves: a step of a mixture of experts beside dense feed-forward layers, on one thread.

    python benchmarks/moe.py

Forward and backward at block 1024, batch 4, 384 wide. The dense layers are as wide as all experts together,
and as wide as those that one token visits. Rounds are interleaved, and printed are medians over rounds of
ratios within a round, so that a machine which is shared slows all alike.
"""

from __future__ import annotations

import statistics
import time

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foundry.modules.moe import MoE
from foundry.modules.shared_expert import SharedExpert

BATCH, BLOCK, WIDTH = 4, 1024, 384
ROUNDS = 9


class MLP(nn.Module):
    """The feed-forward layer of v1."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(WIDTH, hidden)
        self.c_proj = nn.Linear(hidden, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, WIDTH) to the same shape."""
        y: Tensor = self.c_proj(F.gelu(self.c_fc(x)))
        return y


def routed(experts: int, top_k: int, active: int) -> MoE:
    """Make experts that are together as wide as the dense layer, where a token visits `active` in all."""
    return MoE(WIDTH, [MLP(4 * WIDTH // active) for _ in range(experts)], top_k)


def step(layer: nn.Module, x: Tensor) -> float:
    """Return the seconds of one forward and backward pass."""
    started = time.perf_counter()
    layer(x).sum().backward()
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x = torch.randn(BATCH, BLOCK, WIDTH, requires_grad=True)
    variants = {
        "4x1": (routed(4, 1, active=1), 4.0),
        "4x2": (routed(4, 2, active=2), 2.0),
        "8x2": (routed(8, 2, active=2), 4.0),
        "4x1-shared": (SharedExpert(MLP(2 * WIDTH), routed(4, 1, active=2)), 2.5),
    }
    active = MLP(4 * WIDTH)
    print(f"{'':<12}{'ms':>8}{'of dense, all parameters':>28}{'of dense, active parameters':>30}")
    for name, (mixture, times) in variants.items():
        whole = MLP(int(4 * WIDTH * times))
        rounds = []
        for _ in range(ROUNDS + 1):
            rounds.append([step(layer, x) for layer in (mixture, whole, active)])
        rounds = rounds[1:]  # the first one allocates
        milliseconds = 1e3 * statistics.median(mine for mine, _, _ in rounds)
        of_whole = statistics.median(mine / theirs for mine, theirs, _ in rounds)
        of_active = statistics.median(mine / theirs for mine, _, theirs in rounds)
        print(f"{name:<12}{milliseconds:8.0f}{of_whole:20.2f} (1/{times:g}){of_active:30.2f}")


if __name__ == "__main__":
    main()
