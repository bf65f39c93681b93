"""Tell whether new statements may stand in either order, by the names that they bind and read."""

import ast
from collections.abc import Sequence
from textwrap import dedent

import libcst as cst

from operators.syntax.tree import text


def commute(first: Sequence[cst.CSTNode], second: Sequence[cst.CSTNode]) -> bool:
    """Tell whether neither run of statements binds what the other reads or binds, attributes among it."""
    bound, read = _names(first)
    other_bound, other_read = _names(second)
    return not bound & (other_bound | other_read) and not other_bound & (bound | read)


def _names(statements: Sequence[cst.CSTNode]) -> tuple[set[str], set[str]]:
    """Return what statements bind and read; of a definition, its name and what it reads from outside."""
    bound: set[str] = set()
    read: set[str] = set()
    for statement in statements:
        (tree,) = ast.parse(dedent(text(statement)).strip()).body
        stored, loaded = _mentioned(tree)
        if isinstance(tree, (ast.ClassDef, ast.FunctionDef)):
            own = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
            loaded -= {name for name in loaded if name.partition(".")[0] in own | stored}
            stored = {tree.name}
        bound |= stored
        read |= loaded
    return bound, read - {"self"}


def _mentioned(tree: ast.AST) -> tuple[set[str], set[str]]:
    stored: set[str] = set()
    loaded: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (loaded if isinstance(node.ctx, ast.Load) else stored).add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            (loaded if isinstance(node.ctx, ast.Load) else stored).add(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.alias):
            stored.add((node.asname or node.name).partition(".")[0])
    return stored, loaded
