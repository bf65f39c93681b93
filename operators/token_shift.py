"""Let a layer read half of its channels from the token before.

Peng et al., "RWKV: Reinventing RNNs for the Transformer Era" (2023).
"""

from collections.abc import Iterator
from functools import partial

import libcst as cst
import libcst.matchers as m

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit
from operators.syntax.attention import mentions
from operators.syntax.experiment import Experiment
from operators.syntax.patch import Patch
from operators.syntax.program import Class, Program
from operators.syntax.residual import addends
from operators.syntax.stack import block_class

_BLOCK = """
class Block(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.ln = nn.LayerNorm(dim)
        self.mlp = MLP(dim)

    def forward(self, x):
        return x + self.mlp(self.ln(x))

class GPT(nn.Module):
    def __init__(self, dim, depth):
        super().__init__()
        self.blocks = nn.ModuleList([Block(dim) for _ in range(depth)])

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x
"""


class TokenShiftOperator(ModelOperator):
    name = "token_shift"
    family = "knowledge"
    summary = "Give a layer half of its input channels from the previous token."
    preserves = frozenset({"shapes", "parameter_count"})
    examples = (
        Example(
            """\
import torch
import torch.nn as nn
from torch.nn import functional as F

class MLP(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.up = nn.Linear(dim, dim)

    def forward(self, x):
        return F.relu(self.up(x))
"""
            + _BLOCK,
            """\
import torch
import torch.nn as nn
from torch.nn import functional as F


class TokenShift(nn.Module):
    \"""Take the first half of the channels from the previous token (Peng et al., 2023).\"""

    def forward(self, x):  # (B, T, C)
        before, now = x.tensor_split(2, dim=-1)
        return torch.cat((F.pad(before, (0, 0, 1, -1)), now), dim=-1)

class MLP(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.up = nn.Linear(dim, dim)
        self.token_shift = TokenShift()

    def forward(self, x):
        x = self.token_shift(x)
        return F.relu(self.up(x))
"""
            + _BLOCK,
            "half",
        ),
        Example(
            """\
import torch.nn as nn
from torch.nn import functional as F

class MLP(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.up = nn.Linear(dim, dim)
        self.shift = nn.ZeroPad2d((0, 0, 1, -1))

    def forward(self, x):
        return F.relu(self.up(x + self.shift(x)))
"""
            + _BLOCK
        ),
    )

    def words(self, edit: Edit) -> str:
        return sentence(f"half of {place(edit.site)[0]}'s input from the token before")

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        block = block_class(program)
        for addend in addends(program, block) if block is not None else ():
            owner = addend.sublayer
            if owner is not None and _takes_tensor(owner) and not mentions(owner.node, "shift"):
                yield Offer("half", owner.name, partial(_shifted, program, owner))


def _takes_tensor(owner: Class) -> bool:
    """Tell whether a class has an `__init__`, and a `forward(self, x, …)` with lines of its own."""
    forward = owner.methods.get("forward")
    lines = forward is not None and isinstance(forward.body, cst.IndentedBlock)
    return lines and owner.init is not None and forward is not None and len(forward.params.params) >= 2


def _shifted(program: Program, owner: Class) -> str:
    patch = Patch(program)
    forward = owner.methods["forward"]
    assert owner.init is not None, "the layer is kept where the class makes its others"
    x = forward.params.params[1].name.value
    patch.at_end(owner.init, f"self.token_shift = {patch.copy('token_shift', owner.node)}()")
    lines = list(forward.body.body)
    documented = m.matches(lines[0], m.SimpleStatementLine(body=[m.Expr(value=m.SimpleString())]))
    line = f"{x} = self.token_shift({x})"
    if documented:
        patch.after(lines[0], line)
    else:
        patch.before(lines[0], line)
    return patch.code()


OPERATOR = TokenShiftOperator()
