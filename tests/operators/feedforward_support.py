"""What the tests of feed-forward operators share: applying edits by name, and building what comes of them."""

import difflib

import torch
from operator_support import namespace
from torch import nn

import operators
from operators import Edit, Source

SIZES = {"n_layer": 2, "n_head": 2, "n_embd": 48, "block_size": 16, "vocab_size": 32}


def edits(source: Source, operator: str) -> dict[str, Edit]:
    return {edit.variant: edit for edit in operators.load()[operator].sites(source)}


def changed(source: Source, *steps: tuple[str, str]) -> Source:
    for operator, variant in steps:
        source = operators.apply(source, edits(source, operator)[variant])
    return source


def diff(before: Source, after: Source) -> str:
    lines = difflib.unified_diff(before.model.splitlines(), after.model.splitlines(), lineterm="", n=0)
    return "\n".join(line for line in lines if line[:2] not in ("--", "++", "@@"))


def built(source: Source) -> nn.Module:
    module = namespace(source.model)
    torch.manual_seed(0)
    return module.GPT(module.GPTConfig(**SIZES))


def size(source: Source) -> int:
    return sum(p.numel() for p in built(source).parameters())


def layer(body: str, forward: str, *, head: str = "import torch\nimport torch.nn as nn\n") -> Source:
    """Write a feed-forward layer with one line of each kind."""
    return Source(
        f"{head}from torch.nn import functional as F\n\n\nclass MLP(nn.Module):\n"
        f"    def __init__(self, dim, hidden):\n        super().__init__()\n{body}\n"
        f"    def forward(self, x):\n{forward}",
        "",
    )


LINEARS = "        self.fc = nn.Linear(dim, 4 * dim)\n        self.out = nn.Linear(4 * dim, dim)\n"
