"""Find and take out the rotation that functions do: `q, k = apply_rotary_emb(q, cos, sin), …`."""

import re
from collections.abc import Sequence

import libcst as cst

from operators.syntax.patch import Patch
from operators.syntax.program import Program
from operators.syntax.tree import assigned, dotted, leaf, self_attribute, walk

_ROTARY = re.compile(r"rotary|rope")


def without_rotated(program: Program) -> Patch | None:
    """Take out what rotates, and the tables that only that reads; None if a rotation is part of more."""
    lines = {line: call for call in _calls(program) if (line := _only_rotates(program, call)) is not None}
    functions = {leaf(call.func) for call in lines.values()}
    others = [call for call in _calls(program) if leaf(call.func) in functions]
    if not lines or any(program.line_of(call) not in lines for call in others):
        return None
    patch = Patch(program)
    tables = [table for line in lines for table in _tables(program, line, list(lines))]
    gone = list(dict.fromkeys([*lines, *tables]))
    layers = [layer for table in tables for layer in _layers(program, table, gone)]
    for line in dict.fromkeys([*gone, *(made for made, _ in layers)]):
        patch.remove(line)
    patch.helper(*sorted({*functions, *(name for _, name in layers)}))
    return patch


def _calls(program: Program) -> list[cst.Call]:
    """Return the calls, inside classes, of the file's functions whose names speak of rotation."""
    return [
        call
        for call in program.all(cst.Call)
        if isinstance(call.func, cst.Name)
        and call.func.value in program.functions
        and _ROTARY.search(call.func.value.lower())
        and program.class_of(call) is not None
    ]


def _only_rotates(program: Program, call: cst.Call) -> cst.CSTNode | None:
    """Return the line of a call if it is `q = f(q, …)`, `q, k = f(q, …), f(k, …)` or `q, k = f(q, k, …)`."""
    line = program.line_of(call)
    pair = assigned(line) if line is not None else None
    if line is None or pair is None or len(program.parents[line].body) < 2:  # type: ignore[attr-defined]
        return None
    targets, values = map(_items, pair)
    if not all(isinstance(value, cst.Call) and dotted(value.func) == dotted(call.func) for value in values):
        return None
    many = len(values) > 1
    given = [value.args[:1] if many else value.args[: len(targets)] for value in values]  # type: ignore[attr-defined]
    turned = [dotted(arg.value) for args in given for arg in args if arg.keyword is None and not arg.star]
    return line if None not in turned and turned == [dotted(target) for target in targets] else None


def _items(side: cst.BaseExpression) -> list[cst.BaseExpression]:
    return [item.value for item in side.elements] if isinstance(side, cst.Tuple) else [side]


def _tables(program: Program, line: cst.CSTNode, gone: Sequence[cst.CSTNode]) -> list[cst.CSTNode]:
    """Return the lines `cos, sin = …` of a function whose names nothing reads but lines that are gone."""
    function = program.function_of(line)
    found: list[cst.CSTNode] = []
    if function is None:
        return found
    for other in function.body.body:
        pair = assigned(other)
        names = {dotted(target) for target in _items(pair[0])} if pair is not None else set()
        mentions = [node for node in walk(function) if isinstance(node, cst.Name) and node.value in names]
        lines = {program.line_of(node) for node in mentions}
        if other not in gone and lines.intersection(gone) and lines <= {*gone, other}:
            found.append(other)
    return found


def _layers(
    program: Program, table: cst.CSTNode, gone: Sequence[cst.CSTNode]
) -> list[tuple[cst.CSTNode, str]]:
    """Return the line `self.rotary = Rotary(…)` whose layer gives a table, and the layer's class."""
    pair, owner = assigned(table), program.class_of(table)
    call = pair[1] if pair is not None else None
    attribute = self_attribute(call.func) if isinstance(call, cst.Call) else None
    reads = [node for node in program.all(cst.Attribute) if leaf(node) == attribute]
    made = (
        [(line, value) for name, line, value in owner.own() if name == attribute] if owner is not None else []
    )
    if attribute is None or len(made) != 1 or not isinstance(made[0][1], cst.Call):
        return []
    ends = [*gone, made[0][0]]
    if not all(program.line_of(node) in ends for node in reads):
        return []
    return [(made[0][0], leaf(made[0][1].func))]
