"""Normalise what goes into each sublayer, the sum that comes out, or both ends of the branch between.

Vaswani et al., "Attention is All You Need" (2017), for `post`; Xiong et al., "On Layer Normalization in the
Transformer Architecture" (2020), for `pre`; Ding et al., "CogView" (2021) and Gemma Team, "Gemma 2" (2024),
for `sandwich`.
"""

from collections.abc import Iterator
from functools import partial

import libcst as cst

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit
from operators.syntax.encoder import encoder_layers, give, given
from operators.syntax.experiment import Experiment
from operators.syntax.patch import Patch
from operators.syntax.program import Class, Program
from operators.syntax.sublayers import Sublayer, sublayers
from operators.syntax.tree import assigned, leaf, names, self_attribute, text, walk

_PLACEMENTS = ("pre", "post", "sandwich")
_OF_ENCODER = {"True": ("pre", "post", "False"), "False": ("post", "pre", "True")}  # torch's norm_first


class NormPlacement(ModelOperator):
    name = "norm_placement"
    family = "knowledge"
    summary = "Put norms before each sublayer, behind the sum (post), or before and behind it (sandwich)."
    preserves = frozenset({"shapes"})
    examples = (
        Example(
            """\
import torch.nn as nn

class Block(nn.Module):
    def __init__(self, dim, mixer):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.mixer = mixer

    def forward(self, x):
        x = x + self.mixer(self.norm(x))  # (B, T, dim)
        return x
""",
            """\
import torch.nn as nn

class Block(nn.Module):
    def __init__(self, dim, mixer):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.mixer = mixer

    def forward(self, x):
        x = self.norm(x + self.mixer(x))  # (B, T, dim)
        return x
""",
            "post",
        ),
        Example(
            """\
import torch.nn as nn

class Block(nn.Module):
    def __init__(self, dim, mixer):
        super().__init__()
        self.norm = nn.RMSNorm(dim)
        self.mixer = mixer

    def forward(self, x):
        return x + self.mixer(self.norm(x))
""",
            """\
import torch.nn as nn

class Block(nn.Module):
    def __init__(self, dim, mixer):
        super().__init__()
        self.norm = nn.RMSNorm(dim)
        self.post_mixer_norm = nn.RMSNorm(dim)
        self.mixer = mixer

    def forward(self, x):
        return x + self.post_mixer_norm(self.mixer(self.norm(x)))
""",
            "sandwich",
        ),
        Example(
            """\
import torch.nn as nn

class Embedding(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens, positions):
        return self.norm(tokens + positions)
"""
        ),
    )

    def words(self, edit: Edit) -> str:
        where, old = place(edit.site)
        return sentence(f"{old}-norm → {edit.variant}-norm in {where}")

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        for owner in program.classes.values():
            layers = sublayers(program, owner)
            kinds = {layer.placement for layer in layers}
            old = (kinds.pop() if len(kinds) == 1 else "mixed") if layers else None
            for variant in _PLACEMENTS if old is not None else ():
                if variant != old and _fits(layers, variant):
                    yield Offer(variant, f"{owner.name}:{old}", partial(_moved, program, layers, variant))
        for call in encoder_layers(program):
            first = given(call, "norm_first")
            said = text(first.value) if first is not None else "False"
            if said in _OF_ENCODER:
                old, variant, code = _OF_ENCODER[said]
                patch = Patch(program)
                give(patch, call, "norm_first", code)
                yield Offer(variant, f"{program.owner(call)}:{old}", patch.code)


def _fits(layers: list[Sublayer], variant: str) -> bool:
    """Tell whether the norms to add can be made as the present ones are, under names of their own."""
    new = [layer for layer in layers if variant == "sandwich" and layer.placement != variant]
    added = [_added_name(layer) for layer in new if self_attribute(layer.norm.func) is not None]
    makeable = all(len(_lines(layer.owner, layer.norm)) == 1 for layer in new if _added_name(layer) in added)
    taken = {name for layer in new for name in names(layer.owner.node)}
    return makeable and len(set(added)) == len(added) and not taken & set(added)


def _added_name(layer: Sublayer) -> str:
    return f"post_{layer.label or self_attribute(layer.norm.func)}_norm"


def _lines(owner: Class, norm: cst.Call) -> list[cst.SimpleStatementLine]:
    """Return the lines that make the layer that a call runs."""
    name = self_attribute(norm.func)
    return [line for own, line, _ in owner.own() if own == name]


def _moved(program: Program, layers: list[Sublayer], variant: str) -> str:
    patch = Patch(program)
    for layer in layers:
        old = layer.placement
        if variant == old:
            continue
        if old == "post":
            _before_the_branch(program, patch, layer)
        if old == "sandwich":
            _without_second(patch, layer)
        if variant == "post":
            _behind_the_sum(patch, layer)
        if variant == "sandwich":
            _add_second(patch, layer)
    for line in _idle(program, [layer for layer in layers if variant != layer.placement == "sandwich"]):
        patch.remove(line)
    return patch.code()


def _on(patch: Patch, norm: cst.Call, value: cst.BaseExpression, func: str | None = None) -> cst.Call:
    """Return the call of a norm, or of another made like it, on another value."""
    call = norm.with_changes(
        func=patch.expression(func) if func else norm.func,
        args=[norm.args[0].with_changes(value=value), *norm.args[1:]],
    )
    assert isinstance(call, cst.Call), "a call with other arguments"
    return call


def _before_the_branch(program: Program, patch: Patch, layer: Sublayer) -> None:
    """Take the norm off the sum and let it read the stream instead."""
    assert layer.around is not None, "post-norm takes the sum"
    patch.change(layer.around, lambda updated: updated.args[0].value)
    if layer.bare is not None:
        patch.change(layer.bare, lambda updated: _on(patch, layer.norm, updated))
        return
    assert layer.alias is not None, "the stream is read in the branch or kept under another name"
    kept = assigned(layer.alias)
    assert kept is not None, "an alias is assigned"
    patch.after(layer.alias, f"{text(kept[1])} = {text(_on(patch, layer.norm, kept[1]))}")


def _behind_the_sum(patch: Patch, layer: Sublayer) -> None:
    """Take the norm off the stream and let it read the sum instead."""
    if layer.line is not None:
        patch.remove(layer.line)
    else:
        assert layer.inner is not None, "pre-norm reads the stream"
        patch.change(layer.inner, lambda updated: updated.args[0].value)
    if isinstance(layer.total, cst.AugAssign):
        patch.change(layer.total, lambda updated: _as_assignment(patch, layer, updated))
    else:
        patch.change(layer.total, lambda updated: _on(patch, layer.norm, updated))


def _as_assignment(patch: Patch, layer: Sublayer, step: cst.AugAssign) -> cst.Assign:
    """Spell `x += f(x)` as an assignment of the normalised sum."""
    total = patch.expression("{stream} + {branch}", stream=step.target, branch=step.value)
    return cst.Assign([cst.AssignTarget(step.target)], _on(patch, layer.norm, total))


def _add_second(patch: Patch, layer: Sublayer) -> None:
    """Normalise the branch by a norm made as the first one is."""
    made = _lines(layer.owner, layer.norm)
    func = None
    if self_attribute(layer.norm.func) is not None:
        pair = assigned(made[0])
        assert pair is not None, "a layer is assigned"
        func = f"self.{_added_name(layer)}"
        patch.after(made[0], f"{func} = {text(pair[1])}")
    patch.change(layer.branch, lambda updated: _on(patch, layer.norm, updated, func))


def _without_second(patch: Patch, layer: Sublayer) -> None:
    assert layer.outer is not None, "a sandwich has two norms"
    patch.change(layer.outer, lambda updated: updated.args[0].value)


def _idle(program: Program, layers: list[Sublayer]) -> list[cst.SimpleStatementLine]:
    """Return the lines that make the second norms of these sublayers, where nothing else runs them."""
    gone = [layer.outer.func for layer in layers if layer.outer is not None]
    found: dict[str, cst.SimpleStatementLine] = {}
    for layer in layers:
        name = self_attribute(layer.outer.func) if layer.outer is not None else None
        made = _lines(layer.owner, layer.outer) if layer.outer is not None else []
        attributes = [node for node in walk(layer.owner.node) if isinstance(node, cst.Attribute)]
        left = [node for node in attributes if leaf(node) == name and node not in gone]
        if name is not None and len(made) == 1 and len(left) == 1:
            found[name] = made[0]
    return list(found.values())


OPERATOR = NormPlacement()
