"""Walk a libcst tree without its whitespace, and read small things off its nodes.

A libcst visitor costs about 50 ms on a GPT file, mostly in whitespace; this walk costs 5.
"""

import dataclasses
import math
from functools import cache, lru_cache

import libcst as cst
import libcst.matchers as m

_LAYOUT = (
    "whitespace", "leading", "trailing", "lpar", "rpar", "lbracket", "rbracket", "comma", "semicolon",
    "header", "footer", "indent", "lines_after", "equal", "newline", "operator",
)  # fmt: skip


@cache
def _fields(kind: type[cst.CSTNode]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind) if not field.name.startswith(_LAYOUT))


def children(node: cst.CSTNode) -> list[cst.CSTNode]:
    """Return the nodes directly below, whitespace and punctuation left out."""
    found = []
    for name in _fields(type(node)):
        value = getattr(node, name)
        if isinstance(value, cst.CSTNode):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found.extend(item for item in value if isinstance(item, cst.CSTNode))
    return found


@lru_cache(maxsize=1 << 14)  # operators ask about the same functions and statements again and again
def walk(root: cst.CSTNode) -> tuple[cst.CSTNode, ...]:
    """Return the node and everything below it, parents before children."""
    found, waiting = [], [root]
    while waiting:
        node = waiting.pop()
        found.append(node)
        waiting.extend(reversed(children(node)))
    return tuple(found)


def text(node: cst.CSTNode) -> str:
    """Return the code of one node."""
    return cst.Module(body=[]).code_for_node(node)


def dotted(node: cst.CSTNode) -> str | None:
    """Return `a.b.c` for a chain of names, None for anything else."""
    parts: list[str] = []
    while isinstance(node, cst.Attribute):
        parts.append(node.attr.value)
        node = node.value
    if not isinstance(node, cst.Name):
        return None
    return ".".join([node.value, *reversed(parts)])


def leaf(node: cst.CSTNode) -> str:
    """Return the last name of a chain (`c_attn` of `self.c_attn`), or an empty string."""
    if isinstance(node, cst.Attribute):
        return node.attr.value
    return node.value if isinstance(node, cst.Name) else ""


def self_attribute(node: cst.CSTNode) -> str | None:
    """Return `x` for `self.x`."""
    if m.matches(node, m.Attribute(value=m.Name("self"))):
        return cst.ensure_type(node, cst.Attribute).attr.value
    return None


def number(node: cst.CSTNode) -> float | int | None:
    """Return the value of a numeric literal."""
    if isinstance(node, (cst.Float, cst.Integer)):
        value = node.evaluated_value
        return value if isinstance(value, (int, float)) and math.isfinite(value) else None
    return None


def argument(call: cst.Call, index: int, *keywords: str) -> cst.Arg | None:
    """Return the argument at a position, or under one of these keywords; None where it may be starred."""
    for at, arg in enumerate(call.args):
        if arg.star:
            return None
        if (arg.keyword is None and at == index) or (
            arg.keyword is not None and arg.keyword.value in keywords
        ):
            return arg
    return None


def names(root: cst.CSTNode) -> set[str]:
    """Return every plain name and attribute name below a node."""
    found = set()
    for node in walk(root):
        if isinstance(node, cst.Name):
            found.add(node.value)
    return found


def assigned(statement: cst.CSTNode) -> tuple[cst.BaseExpression, cst.BaseExpression] | None:
    """Return target and value of a line that assigns once, `x = …` or `x: T = …`; None for anything else."""
    if not (isinstance(statement, cst.SimpleStatementLine) and len(statement.body) == 1):
        return None
    small = statement.body[0]
    if isinstance(small, cst.Assign) and len(small.targets) == 1:
        return small.targets[0].target, small.value
    if isinstance(small, cst.AnnAssign) and small.value is not None:
        return small.target, small.value
    return None
