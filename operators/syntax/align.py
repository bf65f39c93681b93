"""Align the statements or arguments of two versions of a tree: what became of which."""

import ast
import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from textwrap import dedent

import libcst as cst

from operators.syntax.tree import text

_ALIKE, _ALIKE_NAMED = 0.6, 0.3  # least likeness of an item and what became of it; of two that bind one name
_TOKENS = re.compile(r"\w+|\S")


def code(node: cst.CSTNode) -> str:
    """Return the code of a node, of an annotation too, which libcst writes only where it stands."""
    return text(node.annotation) if isinstance(node, cst.Annotation) else text(node)


def meaning(node: cst.CSTNode) -> str:
    """Return a text that nodes share when comments and layout are all that differs."""
    return _meaning(code(node))


@lru_cache(maxsize=4096)
def _meaning(written: str) -> str:
    try:
        return ast.dump(ast.parse(dedent(written).strip()))
    except SyntaxError:  # an argument, a parameter, an `else`
        return " ".join(_TOKENS.findall(written.rstrip().rstrip(",")))


def aligned(base: Sequence[cst.CSTNode], side: Sequence[cst.CSTNode]) -> dict[int, int]:
    """Map positions in `base` to positions in `side`, in order; what is missing was deleted or inserted.

    Equal items are matched first, then in between those that bear one name or look alike.
    """
    before, after = ([meaning(item) for item in items] for items in (base, side))
    found: dict[int, int] = {}
    for tag, i, i_end, j, j_end in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            found.update(zip(range(i, i_end), range(j, j_end), strict=True))
        elif tag == "replace":
            found.update((i + a, j + b) for a, b in _best(base[i:i_end], side[j:j_end]))
    return found


def _best(base: Sequence[cst.CSTNode], side: Sequence[cst.CSTNode]) -> list[tuple[int, int]]:
    """Return the pairs, in order on both sides, whose likeness adds up to most."""
    scores = [[_likeness(old, new) for new in side] for old in base]
    best: list[list[tuple[float, list[tuple[int, int]]]]] = [[(0.0, [])] * (len(side) + 1)]
    for i in range(len(base)):
        row: list[tuple[float, list[tuple[int, int]]]] = [(0.0, [])]
        for j in range(len(side)):
            total, pairs = best[i][j]
            paired = (total + scores[i][j], [*pairs, (i, j)]) if scores[i][j] > 0 else (0.0, [])
            row.append(max(best[i][j + 1], row[j], paired, key=lambda one: one[0]))
        best.append(row)
    return best[-1][-1][1]


def _likeness(old: cst.CSTNode, new: cst.CSTNode) -> float:
    """Return 0 for what has nothing to do with each other, and up to 2 for what bears one name."""
    name = label(old)
    if isinstance(old, (cst.ClassDef, cst.FunctionDef, cst.Param)) and name == label(new):
        return 2.0
    before, after = _TOKENS.findall(code(old)), _TOKENS.findall(code(new))
    ratio = SequenceMatcher(None, before, after, autojunk=False).ratio()
    if type(old) is not type(new):
        return 0.1 if _contains(after, before) or _contains(before, after) else 0.0
    named = bool(name) and name == label(new)
    return ratio + 0.1 * named if ratio >= (_ALIKE_NAMED if named else _ALIKE) else 0.0


def _contains(outer: list[str], inner: list[str]) -> bool:
    return any(outer[at : at + len(inner)] == inner for at in range(len(outer) - len(inner) + 1))


def label(item: cst.CSTNode) -> str:
    """Return the name that an item gives, or is given; an empty string for none."""
    if isinstance(item, (cst.ClassDef, cst.FunctionDef, cst.Param)):
        return f"{type(item).__name__} {item.name.value}"
    if isinstance(item, cst.Arg) and item.keyword is not None:
        return item.keyword.value
    if isinstance(item, (cst.DictElement, cst.ImportAlias)):
        return text(item.key if isinstance(item, cst.DictElement) else item.name)
    small = item.body[0] if isinstance(item, cst.SimpleStatementLine) else None
    if isinstance(small, cst.Assign):
        return text(small.targets[0].target)
    if isinstance(small, (cst.AnnAssign, cst.AugAssign)):
        return text(small.target)
    if isinstance(small, cst.ImportFrom):
        return f"from {text(small.module)}" if small.module is not None else ""
    return "return" if isinstance(small, cst.Return) else ""
