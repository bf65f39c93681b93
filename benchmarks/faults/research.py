"""What a straightforward research script does with a candidate: execute, train, score. Knows torch alone.

Care is taken as a competent person would: a seed, one thread, evaluation mode, no gradients, and a loss that
is computed here from the logits rather than taken from the candidate. Runs under OpenEvolve's Python, too.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path

import torch
from torch.nn import functional as F

BLOCK, BATCH = 32, 8


def evaluate(source: str, text: Path, steps: int) -> float:
    """Return the loss of a candidate on the last tenth of a text, in nats per token."""
    torch.set_num_threads(1)
    characters = text.read_text("utf-8")
    vocabulary = sorted(set(characters))
    number = {letter: index for index, letter in enumerate(vocabulary)}
    tokens = torch.tensor([number[letter] for letter in characters])
    train, val = tokens[: len(tokens) * 9 // 10], tokens[len(tokens) * 9 // 10 :].clone()
    torch.manual_seed(0)
    module = types.ModuleType("candidate")
    sys.modules["candidate"] = module  # dataclasses look for it
    exec(compile(source, "candidate.py", "exec"), module.__dict__)
    config = module.GPTConfig(
        block_size=BLOCK,
        vocab_size=len(vocabulary),
        n_layer=2,
        n_head=2,
        n_embd=32,
        dropout=0.0,
        bias=False,
    )
    model = module.GPT(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    model.train()
    for _ in range(steps):
        starts = torch.randint(len(train) - BLOCK, (BATCH,), generator=generator)
        rows = torch.stack([train[start : start + BLOCK + 1] for start in starts.tolist()])
        _, loss = model(rows[:, :-1].contiguous(), rows[:, 1:].contiguous())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return _score(model, val)


@torch.no_grad()
def _score(model: torch.nn.Module, val: torch.Tensor) -> float:
    model.eval()
    count = (len(val) - 1) // BLOCK
    inputs = val[: count * BLOCK].view(count, BLOCK)
    targets = val[1 : count * BLOCK + 1].view(count, BLOCK)
    sums = [
        F.cross_entropy(model(x, y)[0].flatten(0, 1), y.flatten(), reduction="sum").item()
        for x, y in zip(inputs.split(BATCH), targets.split(BATCH), strict=True)
    ]
    return float(sum(sums) / targets.numel())
