"""Find what can become an expert: the calls that make feed-forward layers, and mixtures already there."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import libcst as cst
import libcst.matchers as m

from operators.syntax.attention import attentions
from operators.syntax.feedforward import feed_forwards
from operators.syntax.program import Class, Program
from operators.syntax.sequential import sequences
from operators.syntax.tree import argument, dotted, leaf, names, text, walk
from operators.syntax.widths import Width, value_of

_ACROSS_TOKENS = {
    "view", "reshape", "transpose", "permute", "roll", "pad", "cat", "cumsum", "cumprod", "einsum", "softmax",
}  # fmt: skip


@dataclass(frozen=True)
class Maker:
    """Hold a call that makes a feed-forward layer, with the model's width as it is called there."""

    call: cst.Call
    width: str
    hidden: Width


@lru_cache(maxsize=32)
def makers(program: Program) -> tuple[Maker, ...]:
    """Return each call that makes a feed-forward layer which treats every token for itself."""
    attending = _attending(program)
    found: list[Maker] = []
    for owner, up, hidden in _layers(program):
        value = value_of(program, up)
        if value is None or value[0] != 1 or owner.name in attending or not _is_pointwise(program, owner):
            continue
        for call in program.all(cst.Call):
            if isinstance(call.func, cst.Name) and call.func.value == owner.name:
                width = _at_call(program, owner, call, value[1])
                found += [Maker(call, width, hidden)] if width is not None else []
    for sequence in sequences(program):
        holder, value = program.class_of(sequence.call), value_of(program, sequence.up.args[0].value)
        if holder is not None and holder.name in attending and value is not None and value[0] == 1:
            found.append(Maker(sequence.call, value[1], sequence.hidden))
    return tuple(found)


@lru_cache(maxsize=32)
def mixes(program: Program) -> bool:
    """Tell by its names whether a program has a mixture of experts already."""
    return any(
        "expert" in name.lower() or "router" in name.lower() or "MoE" in name
        for name in names(program.module)
    )


def expert_classes(program: Program) -> set[str]:
    """Return the names of the classes that experts are made of."""
    if not mixes(program):
        return set()
    return {leaf(call.func) for call in _mixed(program)} & set(program.classes)


def _mixed(program: Program) -> set[cst.Call]:
    """Return the calls inside of what makes a mixture or is assigned to an attribute named for experts."""
    found: set[cst.Call] = set()
    for node in (*program.all(cst.Call), *program.all(cst.Assign)):
        mixture = isinstance(node, cst.Call) and leaf(node.func) in ("MoE", "SharedExpert")
        if mixture or m.matches(
            node, m.Assign(targets=[m.AssignTarget(m.Attribute(attr=m.Name("experts")))])
        ):
            found |= {inner for inner in walk(node) if isinstance(inner, cst.Call) and inner is not node}
    return found


def _layers(program: Program) -> Iterator[tuple[Class, cst.BaseExpression, Width]]:
    """Yield the class, the width taken in, and the hidden width of the only such layer of a class."""
    found = [(one.owner, one.up.layer.sizes[0], one.hidden) for one in feed_forwards(program)]
    for one in sequences(program):
        owner = program.class_of(one.call)
        if owner is not None:
            found.append((owner, one.up.args[0].value, one.hidden))
    for entry in found:
        if sum(other[0] is entry[0] for other in found) == 1:
            yield entry


def _attending(program: Program) -> set[str]:
    """Return the classes in which tokens meet: that attend, or hold a layer of a class that does."""
    found = {attention.owner.name for attention in attentions(program) if attention.owner is not None}
    while True:
        more = {
            owner.name
            for owner in program.classes.values()
            if owner.name not in found and owner.init is not None and names(owner.init) & found
        }
        if not more:
            return found
        found |= more


def _is_pointwise(program: Program, owner: Class) -> bool:
    """Tell whether `forward` takes one tensor and nothing in it could mix tokens or need their number."""
    forward = owner.methods.get("forward")
    if forward is None or len(forward.params.params) != 2 or forward.params.kwonly_params:
        return False
    held = [program.classes[name] for name in sorted(names(owner.node) & set(program.classes))]
    return not any(
        "forward" in one.methods and _mixes_tokens(one.methods["forward"]) for one in (owner, *held)
    )


def _mixes_tokens(forward: cst.FunctionDef) -> bool:
    unpacks = bool(m.findall(forward, m.AssignTarget(m.Tuple()))) and bool({"shape", "size"} & names(forward))
    return unpacks or bool(_ACROSS_TOKENS & names(forward))


def _at_call(program: Program, owner: Class, call: cst.Call, base: str) -> str | None:
    """Translate a width of a class's `__init__` to where the class is called."""
    head, dot, rest = base.partition(".")
    if head not in owner.parameters():
        return base if not head or (head in program.bound() and not dot) else None
    given = argument(call, owner.parameters().index(head), head)
    if given is None or (dot and dotted(given.value) is None):
        return None
    return f"{text(given.value)}{dot}{rest}"
