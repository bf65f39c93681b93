"""Let every block see the embedding again: its input is a learned mix of the stream and of x0.

From the nanoGPT speed-runs (Jordan et al., "modded-nanogpt", 2024) and nanochat.
"""

from collections.abc import Iterator
from functools import partial

import libcst as cst

from operators.operator import Example, ModelOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment
from operators.syntax.patch import Patch
from operators.syntax.program import Program
from operators.syntax.stack import Stack, fresh, looped, stack
from operators.syntax.tree import names, walk


class X0Skip(ModelOperator):
    name = "x0_skip"
    family = "knowledge"
    summary = "Feed every block a learned mix of the stream and the embedding; starts as the stream alone."
    preserves = frozenset({"shapes", "function_at_init"})
    examples = (
        Example(
            """\
import torch
import torch.nn as nn

class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.n_layer)])

    def forward(self, idx):
        x = self.wte(idx)
        for block in self.blocks:
            x = block(x)
        return x

class Block(nn.Linear):
    def __init__(self, config):
        super().__init__(config.n_embd, config.n_embd)
""",
            """\
import torch
import torch.nn as nn

class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.n_layer)])
        self.resid_lambdas = nn.Parameter(torch.ones(len(self.blocks)))
        self.x0_lambdas = nn.Parameter(torch.zeros(len(self.blocks)))

    def forward(self, idx):
        x = self.wte(idx)
        x0 = x
        for i, block in enumerate(self.blocks):
            x = self.resid_lambdas[i] * x + self.x0_lambdas[i] * x0
            x = block(x)
        return x

class Block(nn.Linear):
    def __init__(self, config):
        super().__init__(config.n_embd, config.n_embd)
""",
            "learned",
        ),
        Example(
            """\
import torch.nn as nn

class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.n_layer)])

    def forward(self, idx):
        x = x0 = self.wte(idx)
        for block in self.blocks:
            x = block(x, x0)  # mixed inside
        return x
"""
        ),
    )

    def words(self, edit: Edit) -> str:
        return "mix the embedding x0 into every block's input"

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        spelled = looped(program)
        found = stack(spelled)
        if found is None or _sees_x0(spelled, found) or "x0_lambdas" in names(found.model.node):
            return
        yield Offer("learned", f"{found.model.name}.forward", partial(_mixed, spelled, found))


def _sees_x0(program: Program, found: Stack) -> bool:
    """Tell whether the loop reads a copy of the stream that was kept before it."""
    copies: set[str] = set()
    for node in walk(found.function):
        if isinstance(node, cst.Assign):
            bound = {target.target.value for target in node.targets if isinstance(target.target, cst.Name)}
            if found.stream in bound or _is_name(node.value, found.stream):
                copies |= bound - {found.stream}
    return any(program.reads(found.loop, name) for name in sorted(copies))


def _is_name(node: cst.CSTNode, name: str) -> bool:
    return isinstance(node, cst.Name) and node.value == name


def _mixed(program: Program, found: Stack) -> str:
    patch = Patch(program)
    x, x0, count = found.stream, fresh("x0", found.function), f"len({found.blocks})"
    parameter = patch.spell("torch.nn.Parameter")
    patch.after(
        found.made,
        f"self.resid_lambdas = {parameter}({patch.spell('torch.ones')}({count}))",
        f"self.x0_lambdas = {parameter}({patch.spell('torch.zeros')}({count}))",
    )
    i = found.numbered(patch)
    patch.before(found.loop, f"{x0} = {x}")
    patch.before(found.statement, f"{x} = self.resid_lambdas[{i}] * {x} + self.x0_lambdas[{i}] * {x0}")
    return patch.code()


OPERATOR = X0Skip()
