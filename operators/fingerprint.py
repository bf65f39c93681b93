"""Tell whether two sources are the same program, whatever their comments and formatting."""

import ast
import hashlib
import json
from functools import lru_cache

import yaml

from operators.source import Source


def canonical(source: Source) -> str:
    """Return a hex digest that sources share when only comments, layout, docstrings or `name` differ.

    Text that does not parse stands for itself.
    """
    digest = hashlib.sha256(_model(source.model).encode("utf-8", "surrogatepass"))
    digest.update(b"\0")
    digest.update(_experiment(source.experiment).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


@lru_cache(maxsize=8)  # edits of an experiment leave the model as it was
def _model(text: str) -> str:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return text
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            node.body = [statement for statement in node.body if not _is_docstring(statement)] or [ast.Pass()]
    return ast.dump(tree)


def _is_docstring(statement: ast.stmt) -> bool:
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _experiment(text: str) -> str:
    try:
        settings = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return text
    if isinstance(settings, dict):
        settings.pop("name", None)
    try:
        return json.dumps(settings, sort_keys=True, default=str)
    except (TypeError, ValueError):  # keys of several types cannot be sorted, nor what holds itself written
        return repr(settings)
