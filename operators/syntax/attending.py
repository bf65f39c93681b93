"""Where a layer attends to everything, and the reference classes that attend to part of it in its place."""

from dataclasses import dataclass

import libcst as cst
import libcst.matchers as m

from operators.syntax.attention import Attention, kernel_calls
from operators.syntax.patch import Patch
from operators.syntax.program import Class, Program
from operators.syntax.tree import assigned, leaf, names, number, self_attribute, walk

SLIDING, BLOCK_SPARSE, STRIDED = "sliding_window", "block_sparse", "strided"
_CLASSES = {
    SLIDING: "SlidingWindowAttention",
    BLOCK_SPARSE: "BlockSparseAttention",
    STRIDED: "StridedAttention",
}
_KINDS = {name: kind for kind, name in _CLASSES.items()}
_NAMES = ("attend", "sparse_attention")
_KEPT = ("dropout_p", "scale")
_MOOT = {"attn_mask": "None", "is_causal": "True", "enable_gqa": "True"}  # what a reference class does anyway


@dataclass(frozen=True, eq=False)
class Sparse:
    """Hold a layer that attends to a part: its kind, its size, and the line that makes it."""

    kind: str
    size: cst.Integer
    attribute: str
    line: cst.SimpleStatementLine
    call: cst.Call


@dataclass(frozen=True, eq=False)
class Dense:
    """Hold the one call that attends to everything before; `fallback` spells it out for an old torch."""

    owner: Class
    call: cst.Call
    fallback: cst.If | None


def class_name(kind: str) -> str:
    """Return the name of the reference class that attends in this manner."""
    return _CLASSES[kind]


def sparse(program: Program, attention: Attention) -> Sparse | None:
    """Return the sparse layer that does the attending here, if one does."""
    owner = attention.owner
    for call, kernel in kernel_calls(program).items():
        if owner is None or program.function_of(call) is not attention.function or kernel.name not in _KINDS:
            continue
        for name, line, value in owner.own():
            made = name == self_attribute(call.func) and isinstance(value, cst.Call) and len(value.args) == 1
            size = cst.ensure_type(value, cst.Call).args[0].value if made else None
            if isinstance(size, cst.Integer):
                return Sparse(_KINDS[kernel.name], size, name, line, call)
    return None


def dense(program: Program, attention: Attention) -> Dense | None:
    """Return the causal attention to everything that can be handed to another layer."""
    owner, function = attention.owner, attention.function
    calls = [node for node in walk(function) if _is_fused(node)]
    if owner is None or owner.init is None or len(calls) != 1:
        return None
    call = cst.ensure_type(calls[0], cst.Call)
    if not _is_plainly_causal(call) or set(_NAMES) <= names(owner.node):
        return None
    branch = program.nearest(call, cst.If)
    if branch is not None and program.function_of(branch) is not function:
        branch = None
    if branch is not None and not _is_fallback(program, owner, branch, call):
        return None
    spelled_out = [node for node in walk(function) if _is_product(program, node)]
    within = walk(branch.orelse) if branch is not None and branch.orelse is not None else []
    return Dense(owner, call, branch) if all(node in within for node in spelled_out) else None


def _is_fused(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.Call) and leaf(node.func) == "scaled_dot_product_attention"


def _is_product(program: Program, node: cst.CSTNode) -> bool:
    if isinstance(node, cst.BinaryOperation):
        return isinstance(node.operator, cst.MatrixMultiply)
    return isinstance(node, cst.Call) and program.qualified(node.func) in ("torch.matmul", "torch.bmm")


def _is_plainly_causal(call: cst.Call) -> bool:
    """Tell whether nothing but causality limits what is attended to, as far as the arguments say."""
    if any(arg.star or (arg.keyword is None) != (at < 3) for at, arg in enumerate(call.args)):
        return False
    given = {arg.keyword.value: arg.value for arg in call.args[3:] if arg.keyword is not None}
    moot = all(m.matches(given[name], m.Name(value)) for name, value in _MOOT.items() if name in given)
    return moot and "is_causal" in given and set(given) <= {*_MOOT, *_KEPT}


def _is_fallback(program: Program, owner: Class, branch: cst.If, call: cst.Call) -> bool:
    """Tell whether a branch is nanoGPT's `if self.flash: … else: …`, which says only whether torch is new."""
    flag = self_attribute(branch.test)
    made = [value for name, _, value in owner.own() if name == flag]
    asks = len(made) == 1 and m.matches(made[0], m.Call(func=m.Name("hasattr")))
    return asks and len(branch.body.body) == 1 and program.line_of(call) is branch.body.body[0]


def attend_with(program: Program, patch: Patch, place: Dense, kind: str, size: int | str) -> str:
    """Hand attention to a copied reference class of this size; return the attribute that holds it."""
    owner, call = place.owner, place.call
    assert owner.init is not None, "the place was found in a class with an __init__"
    name = next(name for name in _NAMES if name not in names(owner.node))
    patch.at_end(owner.init, f"self.{name} = {patch.copy(kind, owner.node)}({size})")
    kept = [arg for arg in call.args if arg.keyword is None or arg.keyword.value in _KEPT]
    kept[-1] = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
    handed = call.with_changes(func=patch.expression(f"self.{name}"), args=kept)
    if place.fallback is None:
        patch.change(call, lambda updated: handed)
    else:
        _without_fallback(program, patch, place, handed)
    return name


def _without_fallback(program: Program, patch: Patch, place: Dense, handed: cst.Call) -> None:
    """Take out the choice between a fused kernel and its spelled-out form, which would attend to more."""
    branch = place.fallback
    assert branch is not None, "there is a choice to take out"
    line = cst.ensure_type(branch.body.body[0], cst.SimpleStatementLine)
    chosen = line.deep_replace(place.call, handed)
    assert isinstance(chosen, cst.SimpleStatementLine), "replacing a call leaves a line"
    chosen = chosen.with_changes(leading_lines=branch.leading_lines)
    patch.change(branch, lambda updated: chosen)
    flag = self_attribute(branch.test) or ""
    for node in walk(place.owner.node):
        asked = isinstance(node, cst.If) and node is not branch and flag in names(node.test)
        if asked and program.function_of(node) is place.owner.init:
            patch.remove(node)
    inside = {node for node in walk(place.owner.node) if isinstance(node, cst.If)}
    reads = [node for node in program.all(cst.Attribute) if leaf(node) == flag]
    elsewhere = [node for node in reads if program.nearest(node, cst.If) not in inside]
    for name, made, _ in place.owner.own():
        if name == flag and len(elsewhere) == 1:
            patch.remove(made)


def attend_to_everything(program: Program, patch: Patch, layer: Sparse, *, grouped: bool) -> None:
    """Put torch's own causal attention back in the place of a sparse layer."""
    spelled = patch.spell("torch.nn.functional.scaled_dot_product_attention")
    options = ["is_causal=True", *(["enable_gqa=True"] if grouped else [])]
    more = cst.ensure_type(patch.expression(f"f({', '.join(options)})"), cst.Call).args
    last = layer.call.args[-1].with_changes(comma=more[0].comma if len(more) > 1 else _COMMA)
    args = [*layer.call.args[:-1], last, *more]
    patch.change(layer.call, lambda updated: updated.with_changes(func=patch.expression(spelled), args=args))
    patch.remove(layer.line)
    patch.helper(_CLASSES[layer.kind])
    for loop in global_layers(program, layer.attribute):
        patch.remove(loop)


_COMMA = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))


def global_layers(program: Program, attribute: str) -> list[cst.For]:
    """Return the loops over blocks that say `block.attn.attend.window = None`."""
    return [loop for loop in program.all(cst.For) if _widens(loop, attribute)]


def _widens(loop: cst.For, attribute: str) -> bool:
    pair = assigned(loop.body.body[0]) if len(loop.body.body) == 1 else None
    target = pair[0] if pair is not None else None
    if not isinstance(target, cst.Attribute) or leaf(target) != "window":
        return False
    return leaf(target.value) == attribute


def size_of(layer: Sparse) -> int:
    """Return the window, block or stride of a sparse layer."""
    return int(number(layer.size) or 0)
