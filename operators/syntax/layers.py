"""What layers a class holds, where `forward` runs them, and what is left over when it no longer does."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial

import libcst as cst

from operators.syntax.activations import activators, local_activations
from operators.syntax.embeddings import held
from operators.syntax.norms import norms
from operators.syntax.patch import Patch
from operators.syntax.program import Class, Program
from operators.syntax.tree import argument, assigned, dotted, leaf, text, walk

_ELEMENTWISE = ("Sigmoid", "Softplus", "Softsign", "Tanh")  # beyond what `activations` knows


@dataclass(frozen=True, eq=False)
class Layer:
    """Hold a layer of a class: what it does to the last dimension, and where `forward` runs it.

    `kind` is linear, embedding, norm, elementwise or other. `inward` and `outward` are the widths as
    `__init__` writes them, for linear layers, embeddings (outward) and norms whose size is known.
    """

    owner: Class
    path: str  # self.transformer.wte
    made: cst.Call
    place: cst.CSTNode
    kind: str
    inward: str | None
    outward: str | None
    calls: list[cst.Call]

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]


@lru_cache(maxsize=32)
def layers(program: Program) -> tuple[Layer, ...]:
    """Return every layer that a class with a `forward` keeps under a name of its own, in order.

    Such names are attributes and entries of a ModuleDict.
    """
    normalising = {made: norm.arguments(made)[0] for norm in norms(program) for made in norm.calls}
    elementwise = {one.node for one in activators(program, local_activations(program))}
    found = []
    for owner in program.classes.values():
        forward = owner.methods.get("forward")
        calls = [node for node in walk(forward) if isinstance(node, cst.Call)] if forward is not None else []
        for path, made in _made(program, owner) if forward is not None else ():
            runs = [call for call in calls if dotted(call.func) == path]
            if made in normalising:
                nature = "norm", normalising[made], normalising[made]
            else:
                nature = _nature(program, made, elementwise)
            found.append(Layer(owner, path, made, held(program, made)[1], *nature, runs))
    return tuple(found)


def layers_of(program: Program, owner: Class) -> list[Layer]:
    """Return the layers of one class."""
    return [layer for layer in layers(program) if layer.owner is owner]


def _made(program: Program, owner: Class) -> Iterator[tuple[str, cst.Call]]:
    names = [name for name, _, _ in owner.own()]
    for name, _, value in owner.own():
        if not isinstance(value, cst.Call) or names.count(name) > 1:
            continue
        if leaf(value.func) != "ModuleDict":
            yield f"self.{name}", value
            continue
        for call in (node for node in walk(value) if isinstance(node, cst.Call)):
            label, _ = held(program, call)
            if label and call is not value:
                yield f"self.{name}.{label}", call


def _nature(
    program: Program, made: cst.Call, elementwise: set[cst.BaseExpression]
) -> tuple[str, str | None, str | None]:
    """Return kind and widths of a layer that is no norm."""
    name = program.qualified(made.func) or ""
    if name == "torch.nn.Linear" or _is_linear(program, name):
        inward, outward = argument(made, 0, "in_features"), argument(made, 1, "out_features")
        return "linear", _text(inward), _text(outward)
    if name == "torch.nn.Embedding":
        return "embedding", None, _text(argument(made, 1, "embedding_dim"))
    if made in elementwise or name.removeprefix("torch.nn.") in _ELEMENTWISE:
        return "elementwise", None, None
    return "other", None, None


def _text(arg: cst.Arg | None) -> str | None:
    return text(arg.value) if arg is not None else None


def _is_linear(program: Program, name: str) -> bool:
    """Tell whether a class of the file is torch's linear layer by inheritance."""
    owner = program.classes.get(name)
    bases = owner.node.bases if owner is not None else ()
    return any(program.qualified(base.value) == "torch.nn.Linear" for base in bases)


def left_over(program: Program, statement: cst.CSTNode) -> list[cst.CSTNode] | None:
    """Return what makes the layers that nothing runs once a statement of `forward` is gone.

    None where that cannot be told, since something else reads one of them.
    """
    owner, gone = program.class_of(statement), set(walk(statement))
    assert owner is not None, "a statement of forward stands in a class"
    if _starves_a_parameter(program, statement, gone):
        return None
    read = {dotted(node) for node in gone}
    places: dict[str, cst.CSTNode] = {
        f"self.{name}": line
        for name, line, value in owner.own()
        if any(isinstance(node, cst.Call) for node in walk(value)) and not _is_container(value)
    }
    if any(path in read and isinstance(_value(line), cst.Lambda) for path, line in places.items()):
        return None  # what it runs has other names
    places |= {layer.path: layer.place for layer in layers_of(program, owner)}
    found = []
    for path in [path for path in places if path in read]:
        uses = _uses(program, owner, path, gone | set(walk(places[path])))
        if uses is None:
            return None
        if not uses:
            found.append(places[path])
    return found


def _starves_a_parameter(program: Program, statement: cst.CSTNode, gone: set[cst.CSTNode]) -> bool:
    """Tell whether a statement alone reads something that `forward` is given beside its stream."""
    function = program.function_of(statement)
    given = function.params.params[2:] if function is not None else ()
    reads = [set(program.reads(function, param.name.value)) for param in given if function is not None]
    return any(read and read <= gone for read in reads)


def _value(line: cst.CSTNode) -> cst.CSTNode | None:
    pair = assigned(line)
    return pair[1] if pair is not None else None


def _is_container(value: cst.CSTNode) -> bool:
    return isinstance(value, cst.Call) and leaf(value.func) == "ModuleDict"


def _uses(program: Program, owner: Class, path: str, gone: set[cst.CSTNode]) -> int | None:
    """Count what still runs a layer; None where it is read in another manner, or by another class."""
    last, count = path.rpartition(".")[2], 0
    for node in program.all(cst.Attribute):
        if node.attr.value != last or node in gone:
            continue
        chain = dotted(node) or ""
        if program.class_of(node) is not owner and chain == f"self.{last}":
            continue  # another class has a layer of this name
        call = program.parents[node]
        if chain != path or not (isinstance(call, cst.Call) and call.func is node):
            return None
        count += 1
    return count


def drop(program: Program, patch: Patch, places: list[cst.CSTNode]) -> None:
    """Take out what makes layers: lines of `__init__`, arguments of `dict(…)`, entries of a dictionary."""
    for place in places:
        if isinstance(place, cst.SimpleStatementLine):
            patch.remove(place)
    entries = [place for place in places if isinstance(place, (cst.Arg, cst.DictElement))]
    for parent in dict.fromkeys(program.parents[place] for place in entries):
        patch.change(
            parent, partial(_without, [place for place in entries if program.parents[place] is parent])
        )
    patch.helper(*program.classes)


def _without(gone: list[cst.CSTNode], updated: cst.CSTNode) -> cst.CSTNode:
    """Take some arguments or elements out; the last of what is left ends as the last of all did."""
    field = "args" if isinstance(updated, cst.Call) else "elements"
    items = getattr(updated, field)
    kept = [item for item in items if item not in gone]
    if kept:
        kept[-1] = kept[-1].with_changes(comma=items[-1].comma)
    return updated.with_changes(**{field: kept})
