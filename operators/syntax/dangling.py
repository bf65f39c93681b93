"""Find names that a program reads and nothing in it defines."""

import ast
import builtins
import symtable
from collections.abc import Iterator


def dangling(code: str) -> set[str]:
    """Return global names that nothing binds, and `Class.name` for attributes of self that nothing sets.

    Inherited attributes are among them, so what a change leaves dangling is what it adds to this set.
    """
    tree = ast.parse(code)
    table = symtable.symtable(code, "model.py", "exec")
    bound = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned() or _defines(symbol)}
    found = {name for name in _globals(table) if name not in bound and not hasattr(builtins, name)}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{name}" for name in _unset(node)}
    return found


def _defines(symbol: symtable.Symbol) -> bool:
    return symbol.is_imported() or symbol.is_namespace()


def _globals(table: symtable.SymbolTable) -> Iterator[str]:
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (symbol.is_global() or table.get_type() == "module"):
            yield symbol.get_name()
    for child in table.get_children():
        yield from _globals(child)


def _unset(owner: ast.ClassDef) -> set[str]:
    """Return attributes of self that a class reads and neither sets nor defines, registered buffers aside."""
    read: set[str] = set()
    known = {item.name for item in owner.body if isinstance(item, (ast.FunctionDef, ast.ClassDef))}
    for node in ast.walk(owner):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            (read if isinstance(node.ctx, ast.Load) else known).add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            known.add(node.value)  # register_buffer("bias", …)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            known.add(node.id)
    return read - known
