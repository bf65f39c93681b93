"""Which names of a syntax tree are imports, and which are local to a function."""

from __future__ import annotations

import ast
from collections.abc import Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef, *COMPREHENSIONS)


def aliases(tree: ast.AST) -> dict[str, str]:
    """Map every name that an import binds, anywhere in the tree, to the dotted name it stands for."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                root = name.name.partition(".")[0]
                found[name.asname or root] = name.name if name.asname else root
        elif isinstance(node, ast.ImportFrom):
            for name in node.names:
                found[name.asname or name.name] = f"{node.module}.{name.name}"
    return found


def bound_by(function: Function) -> set[str]:
    """Collect the names that a function binds itself: arguments and assignments, `global` ones aside."""
    spec = function.args
    arguments = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, *filter(None, [spec.vararg, spec.kwarg])]
    names = {argument.arg for argument in arguments}
    if isinstance(function, ast.Lambda):
        return names
    shared: set[str] = set()
    for node in _within(function.body):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Global):
            shared.update(node.names)
    return names - shared


def targets_of(comprehension: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> set[str]:
    """Collect the names that a comprehension binds."""
    parts = (node for part in comprehension.generators for node in ast.walk(part.target))
    return {node.id for node in parts if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _within(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Walk statements without entering the scopes inside them."""
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, _SCOPES):
            waiting.extend(ast.iter_child_nodes(node))
