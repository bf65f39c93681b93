"""What of a model's file its language model needs: the rest, a training script mostly, is left out."""

from __future__ import annotations

import ast
import re
import symtable
from collections.abc import Iterable, Iterator

from foundry.foreign import assigned

INTERFACE = ("GPT", "GPTConfig")
_CALLED = ("forward", "generate")  # from outside
_IMPORTS = (ast.Import, ast.ImportFrom)


def scriptless(text: str) -> str:
    """Leave out the script around GPT and GPTConfig; a text without such a script comes back byte for byte.

    Raises:
        SyntaxError: the text is not Python.
    """
    tree = ast.parse(text)
    names = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    if not names.issuperset(INTERFACE) or not any(map(_acts, tree.body)):
        return text
    model = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "GPT")
    text = without_uncalled(text, tree, model)
    tree = ast.parse(text)
    return pruned(text, tree, needed(text, tree, set(INTERFACE), set()), set())


def without_uncalled(text: str, tree: ast.Module, model: ast.ClassDef) -> str:
    """Leave out the methods of a language model that only a script or nobody calls.

    They load pretrained weights or make optimizers, often with what a candidate may not import.
    """
    called = {*_CALLED, *_asked(node for node in tree.body if node is not model and _defines(node))}
    methods = {node for node in model.body if isinstance(node, ast.FunctionDef)}
    left = set(methods)
    while reached := {node for node in left if node.name in called or node.name.startswith("__")}:
        left -= reached
        called |= _asked(reached)
    lines = text.splitlines(keepends=True)
    for node in left:
        first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
        last = node.end_lineno or 0
        while last < len(lines) and not lines[last].strip() and model.body[-1] is not node:
            last += 1
        lines[first - 1 : last] = [""] * (last - first + 1)
    return "".join(lines)


def _asked(nodes: Iterable[ast.stmt]) -> set[str]:
    """Name the attributes that some statements ask for."""
    return {one.attr for node in nodes for one in ast.walk(node) if isinstance(one, ast.Attribute)}


def _defines(node: ast.stmt) -> bool:
    return isinstance(node, (ast.FunctionDef, ast.ClassDef))


def _acts(node: ast.stmt) -> bool:
    """Whether a statement at the top level does something besides binding names."""
    called = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    return called or isinstance(node, (ast.For, ast.While, ast.With)) or is_main(node)


def is_main(node: ast.stmt) -> bool:
    """Whether a statement is what a file does when it is run."""
    return isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)


def needed(text: str, tree: ast.Module, names: set[str], given: set[str]) -> list[ast.stmt]:
    """List the statements that bind some names and what those need, in order."""
    outer = {
        table.get_lineno(): _globals(table) for table in symtable.symtable(text, "", "exec").get_children()
    }
    imports = {name for node in tree.body if isinstance(node, _IMPORTS) for name in binds(node)}
    bound = {node: {*binds(node), *(set(_changes(node)) - imports)} for node in tree.body}
    wanted = set(names)
    found: set[ast.stmt] = set()
    while more := [node for node in tree.body if node not in found and wanted & bound[node]]:
        for node in more:
            found.add(node)
            if not _is_given(node, given):
                wanted |= outer.get(node.lineno, set()) | _reads(node) | _annotated(node)
    return [node for node in tree.body if node in found]


def derived(kept: list[ast.stmt], given: set[str]) -> list[ast.stmt]:
    """List the file's variables that are computed from its sizes."""
    known, found = set(given), []
    for node in kept:
        names = set(assigned(node))
        if names - given and known & _reads(node):
            known |= names
            found.append(node)
    return found


def pruned(text: str, tree: ast.Module, kept: list[ast.stmt], given: set[str]) -> str:
    """Leave out what the language model does not need, with the comments right above it."""
    lines = text.splitlines(keepends=True)
    for node in tree.body:
        if _is_given(node, given) or (node not in kept and not _stays(node)):
            first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
            above = first
            while above > 1 and lines[above - 2].startswith("#"):
                above -= 1
            first = above if above > 1 else first  # what the file begins with is about all of it
            lines[first - 1 : node.end_lineno] = [""] * ((node.end_lineno or 0) - first + 1)
    return re.sub(r"\n{4,}", "\n\n\n", "".join(lines))


def _is_given(node: ast.stmt, given: set[str]) -> bool:
    """Whether a statement computes a size that GPT is given: from the training text, for one."""
    literal = isinstance(getattr(node, "value", None), ast.Constant)
    return not literal and bool(given.intersection(assigned(node)))


def _reads(node: ast.stmt) -> set[str]:
    """Name what a statement reads when it is executed: of a definition, what stands outside its body."""
    parts: list[ast.AST] = [node]
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        heads = node.bases if isinstance(node, ast.ClassDef) else [node.args]
        parts = [*heads, *node.decorator_list]
    return {one.id for part in parts for one in ast.walk(part) if isinstance(one, ast.Name)}


def _annotated(node: ast.stmt) -> set[str]:
    """Name what annotations inside a statement speak of, which may never be evaluated."""
    parts = [
        part
        for one in ast.walk(node)
        for part in (getattr(one, "annotation", None), getattr(one, "returns", None))
        if part is not None
    ]
    return {one.id for part in parts for one in ast.walk(part) if isinstance(one, ast.Name)}


def _globals(table: symtable.SymbolTable) -> set[str]:
    """Name what the body of a definition reads from around it."""
    own = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
    return own.union(*map(_globals, table.get_children()))


def _stays(node: ast.stmt) -> bool:
    """Whether a statement stays although nothing needs what it binds."""
    return is_text(node) or (isinstance(node, ast.ImportFrom) and node.module == "__future__")


def is_text(node: ast.stmt) -> bool:
    """Whether a statement is a bare constant, such as a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def binds(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement at the top level defines."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        yield node.name
    elif is_main(node):
        return
    elif isinstance(node, _IMPORTS):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
    else:
        stored = (one for one in ast.walk(node) if isinstance(one, ast.Name))
        yield from (one.id for one in stored if isinstance(one.ctx, ast.Store))


def _changes(node: ast.stmt) -> Iterator[str]:
    """Yield the names whose values a top-level statement changes: `table[k] = v`, `table.update(more)`."""
    if _defines(node) or is_main(node):
        return
    for one in ast.walk(node):
        if isinstance(one, (ast.Subscript, ast.Attribute)) and isinstance(one.ctx, ast.Store):
            yield ast.unparse(one.value)
        called = one.value.func if isinstance(one, ast.Expr) and isinstance(one.value, ast.Call) else None
        if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
            yield called.value.id
