"""Let layers of the stack share weights, or have their own again: whole blocks, or one sublayer of each.

Lan et al., "ALBERT" (2020) for one block at every depth; Liu et al., "MobileLLM" (2024) for neighbours that
share; Dehghani et al., "Universal Transformers" (2019) for the stack as a cycle.
"""

from collections.abc import Iterator
from functools import partial

import libcst as cst

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit
from operators.syntax.depth import making_line
from operators.syntax.experiment import Experiment
from operators.syntax.patch import Patch
from operators.syntax.program import Program
from operators.syntax.residual import sublayers
from operators.syntax.stack import Stack, looped, stack
from operators.syntax.tree import leaf, names, text, walk

_LOOPS = {
    "pairs": ("range(1, len({b}), 2)", "i - 1"),
    "halves": ("range(len({b}) // 2, 2 * (len({b}) // 2))", "i - len({b}) // 2"),
    "all": ("range(1, len({b}))", "0"),
}
_WORDS = {"pairs": "two neighbours", "halves": "the lower and the upper half", "all": "all layers"}

_BEFORE = """\
import torch.nn as nn

class Block(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(dim, dim), nn.ReLU())

    def forward(self, x):
        return x + self.mlp(x)

class GPT(nn.Module):
    def __init__(self, dim, depth):
        super().__init__()
        self.blocks = nn.ModuleList([Block(dim) for _ in range(depth)])

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x
"""
_MADE = "        self.blocks = nn.ModuleList([Block(dim) for _ in range(depth)])\n"
_SHARED = """\
        for i in range(1, len(self.blocks), 2):  # share weights
            self.blocks[i] = self.blocks[i - 1]
"""


class ShareLayers(ModelOperator):
    name = "share_layers"
    family = "generic"
    summary = "Share weights between layers (pairs, halves, all), blocks or single sublayers; or unshare."
    preserves = frozenset({"shapes"})
    examples = (
        Example(_BEFORE, _BEFORE.replace(_MADE, _MADE + _SHARED), "pairs"),
        Example(_BEFORE.replace(_MADE, _MADE + _SHARED), _BEFORE, "none"),
        Example(_BEFORE.replace("for block in self.blocks", "for block in reversed(self.blocks)")),
    )

    def words(self, edit: Edit) -> str:
        what = place(edit.site)[1].rpartition(".")[2]
        if edit.variant == "none":
            return sentence(f"give each layer its own {what} again")
        return sentence(f"share {what} between {_WORDS[edit.variant]}")

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        found = stack(looped(program))
        made = making_line(program, found) if found is not None else None
        if found is None or made is None:
            return
        shared = _shared(program, found)
        for loop in shared:
            yield Offer(
                "none", f"{found.model.name}:{_target(loop, found)}", partial(_unshared, program, loop)
            )
        if shared:
            return
        for part in ["", *_parts(program, found)]:
            for variant in _LOOPS:
                site = f"{found.model.name}:{found.blocks}{part}"
                yield Offer(variant, site, partial(_with_shared, program, made, found.blocks, variant, part))


def _parts(program: Program, found: Stack) -> list[str]:
    """Return the sublayers of a block that are made as classes of the file, where there are several."""
    block = program.classes.get(found.block.name) if found.block is not None else None
    held = sublayers(program, block) if block is not None else {}
    made = {name: value for name, _, value in block.own()} if block is not None else {}
    classes = [name for name in held if leaf(getattr(made[name], "func", made[name])) in program.classes]
    return [f".{name}" for name in classes] if len(classes) > 1 else []


def _shared(program: Program, found: Stack) -> list[cst.For]:
    """Return the loops of the model's `__init__` that put one layer in the place of another."""
    init = program.classes[found.model.name].init
    loops = [node for node in walk(init) if isinstance(node, cst.For)] if init is not None else []
    return [loop for loop in loops if _target(loop, found) is not None]


def _target(loop: cst.For, found: Stack) -> str | None:
    """Return the blocks, or a sublayer of theirs, that a loop shares."""
    line = loop.body.body[0] if len(loop.body.body) == 1 else None
    small = line.body[0] if isinstance(line, cst.SimpleStatementLine) else None
    if not isinstance(small, cst.Assign) or len(small.targets) != 1 or "len" not in names(loop.iter):
        return None
    to, _, rest = text(small.targets[0].target).partition("[i]")
    source = text(small.value)
    same = source.startswith(f"{found.blocks}[") and source.endswith(f"]{rest}")
    return to + rest if to == found.blocks and same else None


def _with_shared(program: Program, made: cst.CSTNode, blocks: str, variant: str, part: str) -> str:
    over, other = (code.replace("{b}", blocks) for code in _LOOPS[variant])
    patch = Patch(program)
    patch.after(
        made,
        f"for i in {over}:  # share weights\n    {blocks}[i]{part} = {blocks}[{other}]{part}",
    )
    return patch.code()


def _unshared(program: Program, loop: cst.For) -> str:
    patch = Patch(program)
    patch.remove(loop)
    return patch.code()


OPERATOR = ShareLayers()
