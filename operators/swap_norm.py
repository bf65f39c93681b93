"""Swap LayerNorm for RMSNorm, or back, in the whole model.

Zhang and Sennrich, "Root Mean Square Layer Normalization" (2019).
"""

from collections.abc import Iterator
from functools import partial

import libcst as cst
import libcst.matchers as m

from operators.operator import Example, ModelOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment
from operators.syntax.norms import Norm, normalises_queries_or_keys, norms, plain_norms, type_tests
from operators.syntax.patch import Patch
from operators.syntax.program import Program
from operators.syntax.tree import names, text

_CLASSES = {"layernorm": "LayerNorm", "rmsnorm": "RMSNorm"}
_OTHER = {"layernorm": "rmsnorm", "rmsnorm": "layernorm"}


class SwapNorm(ModelOperator):
    name = "swap_norm"
    family = "knowledge"
    summary = "Swap LayerNorm for RMSNorm, or back; query-key normalisation stays what it is."
    preserves = frozenset({"shapes"})
    examples = (
        Example(
            """\
import torch.nn as nn

class Block(nn.Module):
    def __init__(self, dim, mixer):
        super().__init__()
        self.norm = nn.LayerNorm(dim, bias=False)  # before the mixer
        self.mixer = mixer

    def forward(self, x):
        return x + self.mixer(self.norm(x))
""",
            """\
import torch.nn as nn

class Block(nn.Module):
    def __init__(self, dim, mixer):
        super().__init__()
        self.norm = nn.RMSNorm(dim, eps=1e-5)  # before the mixer
        self.mixer = mixer

    def forward(self, x):
        return x + self.mixer(self.norm(x))
""",
            "rmsnorm",
        ),
        Example(
            """\
import torch.nn.functional as F

class Block:
    def forward(self, x):
        q = F.rms_norm(self.q(x), (self.head_dim,))
        return x + self.mlp(F.rms_norm(x, (x.size(-1),)), q)
""",
            """\
import torch.nn.functional as F

class Block:
    def forward(self, x):
        q = F.rms_norm(self.q(x), (self.head_dim,))
        return x + self.mlp(F.layer_norm(x, (x.size(-1),)), q)
""",
            "layernorm",
        ),
        Example("import torch.nn as nn\n\ndef head(dim):\n    return nn.Sequential(nn.BatchNorm1d(dim))\n"),
    )

    def words(self, edit: Edit) -> str:
        return f"swap norm {_CLASSES[_OTHER[edit.variant]]} → {_CLASSES[edit.variant]}"

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        for norm in norms(program):
            calls = [call for call in norm.calls if not normalises_queries_or_keys(program, call)]
            if calls and all(norm.arguments(call)[0] for call in calls):
                yield Offer(
                    _OTHER[norm.kind],
                    norm.spelled,
                    partial(_swapped, program, norm, calls),
                )
        for kind, calls in plain_norms(program).items():
            yield Offer(_OTHER[kind], text(calls[0].func), partial(_spelled_otherwise, program, kind, calls))


def _swapped(program: Program, norm: Norm, calls: list[cst.Call]) -> str:
    patch = Patch(program)
    everywhere = len(calls) == len(norm.calls)
    name = _new_class(program, patch, norm, everywhere)
    for call in calls:
        patch.replace(call, f"{_beside(call.func, name)}({_arguments(program, norm, call)})")
    for mention in norm.mentions if everywhere else ():
        _retype(program, patch, mention, name, norm.kind)
    return patch.code()


def _spelled_otherwise(program: Program, kind: str, calls: list[cst.Call]) -> str:
    """Swap functions without weights; torch's rms_norm would take the smallest step of the dtype."""
    patch = Patch(program)
    new = "layer_norm" if kind == "rmsnorm" else "rms_norm"
    eps = "" if kind == "rmsnorm" else ", eps=1e-5"
    for call in calls:
        given = ", ".join(text(arg.value) for arg in call.args)
        patch.replace(call, f"{_beside(call.func, patch.spell(f'torch.nn.functional.{new}'))}({given}{eps})")
    return patch.code()


def _new_class(program: Program, patch: Patch, norm: Norm, everywhere: bool) -> str:
    """Return what the new layers are made of: torch's for torch's, a copy for the file's own."""
    kind = _OTHER[norm.kind]
    name = _CLASSES[kind]
    if norm.owner is None:
        return patch.spell(f"torch.nn.{name}")
    if name in program.classes:  # made by an earlier edit
        patch.helper(norm.owner.name)
        return name
    return patch.become(kind, norm.owner) if everywhere else patch.copy(kind, norm.owner.node)


def _arguments(program: Program, norm: Norm, call: cst.Call) -> str:
    size, eps = norm.arguments(call)
    given = [size or ""]
    config = (size or "").rpartition(".")[0]
    present = program.classes.get(_CLASSES[_OTHER[norm.kind]]) if norm.owner is not None else None
    taken = present.parameters() if present is not None else ["bias", "eps"]
    has_bias = config.isidentifier() and any(field == "bias" for field, _ in program.config_defaults())
    if norm.kind == "rmsnorm" and has_bias and "bias" in taken:
        given.append(f"bias={config}.bias")
    if eps is not None and "eps" in taken:
        given.append(f"eps={eps}")
    elif norm.kind == "layernorm" and norm.owner is None:
        given.append("eps=1e-5")  # torch's RMSNorm would take the smallest step of the dtype
    return ", ".join(given)


def _retype(program: Program, patch: Patch, mention: cst.BaseExpression, name: str, kind: str) -> None:
    """Follow the change where the class is mentioned as a type; an RMSNorm has no bias to initialise."""
    for branch in type_tests(program, mention) if kind == "layernorm" else ():
        parent = program.parents[mention]
        if isinstance(parent, cst.Element) and "bias" in names(branch):
            patch.change(program.parents[parent], lambda updated: _without(updated, mention))
            return
        for line in branch.body.body:
            if m.matches(line, m.SimpleStatementLine()) and "bias" in names(line):
                patch.remove(line)
    patch.replace(mention, _beside(mention, name))


def _beside(old: cst.BaseExpression, name: str) -> str:
    """Spell a new class of torch's in the manner of the old: torch.nn.RMSNorm for torch.nn.LayerNorm."""
    return f"{text(old.value)}.{name.rpartition('.')[2]}" if isinstance(old, cst.Attribute) else name


def _without(types: cst.Tuple, mention: cst.BaseExpression) -> cst.BaseExpression:
    kept = [element for element in types.elements if element.value is not mention]
    if len(kept) == 1:
        return kept[0].value
    return types.with_changes(elements=[*kept[:-1], kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)])


OPERATOR = SwapNorm()
