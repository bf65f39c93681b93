"""Merge two changed versions of one file, node by node of its syntax tree.

Whatever one side left alone is the other's, byte for byte. Where both changed one node in different ways, the
merge goes on below it; it ends in a conflict where the node itself is no longer of one kind, unless one side
merely put something around it.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import libcst as cst

from operators.syntax.align import aligned, code, label, meaning
from operators.syntax.commuting import commute
from operators.syntax.conflict import ConflictError
from operators.syntax.tree import walk

_LAYOUT = (
    "whitespace", "leading_lines", "trailing", "comma", "semicolon", "header", "footer", "indent",
    "lines_after", "equal", "newline", "empty_lines",
)  # fmt: skip
_PARENTHESES = ("lpar", "rpar")
_ATOMS = (cst.Call, cst.Name, cst.Attribute, cst.Subscript, cst.BaseNumber, cst.BaseString, cst.Tuple)
_Statement = (cst.SimpleStatementLine, cst.BaseCompoundStatement)
_FREE = (cst.Param, cst.Arg, cst.ImportAlias, cst.DictElement)  # both sides may add one at one place


def merged_module(base: cst.Module, ours: cst.Module, theirs: cst.Module) -> cst.Module:
    """Return a module with the changes of both sides. Raises ConflictError where they contradict."""
    return cst.ensure_type(_merged(base, ours, theirs, ""), cst.Module)


def _merged(base: cst.CSTNode, ours: cst.CSTNode, theirs: cst.CSTNode, where: str) -> cst.CSTNode:
    if _same(base, theirs) or _same(ours, theirs):
        return ours
    if _same(base, ours):
        return theirs
    around = _around(base, ours, theirs)
    if around is not None:
        return around
    if isinstance(base, cst.Call) and _other_function(base, ours, theirs):
        raise _conflict(base, where)
    if type(base) is type(ours) is type(theirs):
        return _by_fields(base, ours, theirs, _below(base, where))
    if meaning(base) == meaning(theirs):
        return ours
    if meaning(base) == meaning(ours):
        return theirs
    raise _conflict(base, where)


def _same(one: object, other: object) -> bool:
    if isinstance(one, cst.CSTNode) and isinstance(other, cst.CSTNode):
        return type(one) is type(other) and code(one) == code(other)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other


def _below(node: cst.CSTNode, where: str) -> str:
    name = node.name.value if isinstance(node, (cst.ClassDef, cst.FunctionDef)) else ""
    return f"{where}.{name}".strip(".") if name else where


def _conflict(node: cst.CSTNode, where: str) -> ConflictError:
    written = " ".join(code(node).split())
    shown = written if len(written) <= 60 else f"{written[:59]}…"
    return ConflictError(f"both change `{shown}` in {where or 'the module'}, in different ways")


def _around(base: cst.CSTNode, ours: cst.CSTNode, theirs: cst.CSTNode) -> cst.CSTNode | None:
    """Return one side's expression with the other's in the place of the old, where it holds that once."""
    if not isinstance(base, (cst.BaseExpression, cst.SimpleStatementLine)):
        return None
    for outer, inner in ((ours, theirs), (theirs, ours)):
        places = [node for node in walk(outer) if node is not outer and _same_kind(node, base)]
        if len(places) == 1:
            return _replaced(outer, places[0], _closed(inner, places[0]))
    return None


def _replaced(outer: cst.CSTNode, place: cst.CSTNode, inner: cst.CSTNode) -> cst.CSTNode:
    whole = outer.deep_replace(place, inner)
    assert isinstance(whole, cst.CSTNode), "replacing a node below leaves the node above"
    return whole


def _other_function(base: cst.Call, ours: cst.CSTNode, theirs: cst.CSTNode) -> bool:
    """Tell whether one side calls another function, with arguments that the other side changes."""
    calls = [side for side in (ours, theirs) if isinstance(side, cst.Call)]
    renamed = [side for side in calls if meaning(side.func) != meaning(base.func)]
    return len(calls) == 2 and any(
        not _same(base.args, side.args) for side in calls if [side] != renamed and renamed
    )


def _same_kind(node: cst.CSTNode, base: cst.CSTNode) -> bool:
    return type(node) is type(base) and meaning(node) == meaning(base)


def _closed(node: cst.CSTNode, place: cst.CSTNode) -> cst.CSTNode:
    """Put an expression in parentheses, unless it is one piece or stands in the place of what was not."""
    if not isinstance(node, cst.BaseExpression) or isinstance(node, _ATOMS) or node.lpar:
        return node
    if isinstance(place, cst.BaseExpression) and type(place) is type(node):
        return node.with_changes(lpar=place.lpar, rpar=place.rpar)
    return node.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])


def _by_fields(base: cst.CSTNode, ours: cst.CSTNode, theirs: cst.CSTNode, where: str) -> cst.CSTNode:
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(base):
        old, mine, other = (getattr(node, field.name) for node in (base, ours, theirs))
        if _same(old, other) or _same(mine, other):
            continue
        if _same(old, mine):
            changes[field.name] = other
        elif field.name in _PARENTHESES:
            changes[field.name] = max(mine, other, key=len)
        elif field.name.startswith(_LAYOUT):
            continue
        elif isinstance(old, (list, tuple)):
            changes[field.name] = _sequence(old, mine, other, base, where)
        elif all(isinstance(value, cst.CSTNode) for value in (old, mine, other)):
            changes[field.name] = _merged(old, mine, other, where)
        else:
            raise _conflict(base, where)
    return ours.with_changes(**changes)


def _sequence(
    base: Sequence[cst.CSTNode],
    ours: Sequence[cst.CSTNode],
    theirs: Sequence[cst.CSTNode],
    parent: cst.CSTNode,
    where: str,
) -> list[cst.CSTNode]:
    """Merge lists of statements, arguments, targets …: what became of each item, and what is new between."""
    mine, others = _pairing(base, ours), _pairing(base, theirs)
    new_mine, new_others = _inserted(ours, mine), _inserted(theirs, others)
    found: list[cst.CSTNode] = []
    for at in range(len(base) + 1):
        found += _both_new(new_mine[at], new_others[at], parent, where)
        if at == len(base):
            break
        old = base[at]
        if at in mine and at in others:
            found.append(_merged(old, ours[mine[at]], theirs[others[at]], where))
        elif at in mine or at in others:
            left = ours[mine[at]] if at in mine else theirs[others[at]]
            if meaning(left) != meaning(old):
                raise ConflictError(
                    f"one deletes `{' '.join(code(old).split())[:60]}` in {where or 'the module'}, "
                    "the other changes it"
                )
    return found


def _pairing(base: Sequence[cst.CSTNode], side: Sequence[cst.CSTNode]) -> dict[int, int]:
    one_each = len(base) == len(side) == 1
    return {0: 0} if one_each and not isinstance(base[0], _Statement) else aligned(base, side)


def _inserted(side: Sequence[cst.CSTNode], pairs: dict[int, int]) -> dict[int, list[cst.CSTNode]]:
    """Group what is new on one side by the position in the base that it stands before."""
    found: dict[int, list[cst.CSTNode]] = defaultdict(list)
    matched = {to: at for at, to in pairs.items()}
    place = 0
    for at, item in enumerate(side):
        if at in matched:
            place = matched[at] + 1
        else:
            found[place].append(item)
    return found


def _both_new(
    ours: list[cst.CSTNode], theirs: list[cst.CSTNode], parent: cst.CSTNode, where: str
) -> list[cst.CSTNode]:
    """Put together what both insert at one place; what is the same comes once."""
    mine = [meaning(item) for item in ours]
    rest = [item for item in theirs if meaning(item) not in mine]
    if not ours or not rest:
        return [*ours, *rest]
    if all(isinstance(item, _Statement) for item in (*ours, *rest)):
        free = commute(ours, rest)
    else:
        names = [label(item) for item in (*ours, *rest) if label(item)]
        free = all(isinstance(item, _FREE) for item in (*ours, *rest)) and len(set(names)) == len(names)
    if not free:
        raise ConflictError(
            f"both insert something at one place in {where or 'the module'}, and its order would matter"
        )
    if isinstance(parent, cst.Module) or not all(isinstance(item, _FREE) for item in ours):
        return [*ours, *rest]
    ended = [item.with_changes(comma=cst.MaybeSentinel.DEFAULT) for item in ours[-1:]]
    return [*ours[:-1], *ended, *rest]
