"""Join early layers to late ones, as a U-Net does: the second half adds what the first half gave, in reverse.

Ronneberger et al., "U-Net" (2015); in language models, the nanoGPT speed-runs (Jordan et al.,
"modded-nanogpt", 2024).
"""

from collections.abc import Iterator
from functools import partial

import libcst.matchers as m

from operators.operator import Example, ModelOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment
from operators.syntax.patch import Patch
from operators.syntax.program import Program
from operators.syntax.stack import Stack, fresh, looped, stack
from operators.syntax.tree import names

_STARTS = {"zero": "zeros", "one": "ones"}


class UnetSkips(ModelOperator):
    name = "unet_skips"
    family = "knowledge"
    summary = "Add outputs of early layers to late ones, by learned weights from 0 (same function) or 1."
    preserves = frozenset({"shapes"})
    preserving = frozenset({"zero"})
    examples = (
        Example(
            """\
import torch
import torch.nn as nn

class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.n_layer)])

    def forward(self, x):
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
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.n_layer)])
        self.skip_weights = nn.ParameterList([torch.zeros(()) for _ in range(len(self.blocks) // 2)])

    def forward(self, x):
        skips = []
        for i, block in enumerate(self.blocks):
            mirror = len(self.blocks) - 1 - i
            if mirror < i:
                x = x + self.skip_weights[mirror] * skips[mirror]
            x = block(x)
            skips.append(x)
        return x

class Block(nn.Linear):
    def __init__(self, config):
        super().__init__(config.n_embd, config.n_embd)
""",
            "zero",
        ),
        Example(
            """\
import torch.nn as nn

class Twins(nn.Module):
    def __init__(self, left, right):
        super().__init__()
        self.both = nn.ModuleList([left, right])

    def forward(self, x):
        for one in self.both:
            x = one(x)
        return x
"""
        ),
    )

    def words(self, edit: Edit) -> str:
        return f"U-Net skips between layers, weights from {edit.variant}"

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        spelled = looped(program)
        found = stack(spelled)
        if found is None or _keeps_outputs(found) or "skip_weights" in names(found.model.node):
            return
        for variant in _STARTS:
            yield Offer(variant, f"{found.model.name}.forward", partial(_joined, spelled, found, variant))


def _keeps_outputs(found: Stack) -> bool:
    """Tell whether the loop collects its stream already."""
    keeps = m.Call(func=m.Attribute(attr=m.Name("append")), args=[m.Arg(m.Name(found.stream))])
    return bool(m.findall(found.loop, keeps))


def _joined(program: Program, found: Stack, variant: str) -> str:
    patch = Patch(program)
    x, skips, mirror = found.stream, fresh("skips", found.function), fresh("mirror", found.function)
    start = f"{patch.spell(f'torch.{_STARTS[variant]}')}(())"  # one each, so that a single layer has none
    made = f"[{start} for _ in range(len({found.blocks}) // 2)]"
    patch.after(found.made, f"self.skip_weights = {patch.spell('torch.nn.ParameterList')}({made})")
    i = found.numbered(patch)
    patch.before(found.loop, f"{skips} = []")
    patch.before(
        found.statement,
        f"{mirror} = len({found.blocks}) - 1 - {i}",
        f"if {mirror} < {i}:\n    {x} = {x} + self.skip_weights[{mirror}] * {skips}[{mirror}]",
    )
    patch.after(found.statement, f"{skips}.append({x})")
    return patch.code()


OPERATOR = UnetSkips()
