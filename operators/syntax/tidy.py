"""Leave a changed file as a person would: imports that it needs, none that it no longer uses."""

import ast
from collections.abc import Sequence, Set
from functools import lru_cache

import libcst as cst
import libcst.matchers as m

from operators.syntax.tree import dotted

_IMPORT = m.SimpleStatementLine(body=[m.Import() | m.ImportFrom()])

Statement = cst.SimpleStatementLine | cst.BaseCompoundStatement


def used_names(module: cst.Module) -> frozenset[str]:
    """Return the names that a file uses, a definition's own name inside itself aside."""
    return frozenset().union(*(_names_in(text) for text in _texts(module)))


def tidied(module: cst.Module, used: frozenset[str], helpers: set[str]) -> str:
    """Return a module's code without the imports and helpers that were used before and no longer are."""
    while True:
        idle = used - used_names(module)
        body = [item for item in module.body if not _is_idle_helper(item, helpers & idle)]
        body = _without_imports(body, idle)
        count = len(module.body)
        module = module.with_changes(body=body) if body != list(module.body) else module
        if len(body) == count:
            return code_of(module)


def code_of(module: cst.Module) -> str:
    """Return a module's code; what it shares with another at the top level is not printed again."""
    if not module.has_trailing_newline or not module.body:
        return module.code
    header, footer = (map(module.code_for_node, lines) for lines in (module.header, module.footer))
    return "".join((*header, *_texts(module), *footer))


def _texts(module: cst.Module) -> list[str]:
    return [_text(item, module.default_indent, module.default_newline) for item in module.body]


@lru_cache(maxsize=256)  # most of a file's statements are those of the file that it was made from
def _text(statement: cst.CSTNode, indent: str, newline: str) -> str:
    return cst.Module(body=[], default_indent=indent, default_newline=newline).code_for_node(statement)


@lru_cache(maxsize=1024)
def _names_in(text: str) -> frozenset[str]:
    found: set[str] = set()
    for statement in ast.parse(text).body:
        mine = set()
        for node in ast.walk(statement):
            if isinstance(node, ast.Name):
                mine.add(node.id)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                mine.add(node.value)  # __all__, and annotations in quotes
        found |= mine - {getattr(statement, "name", "")}
    return frozenset(found)


def _is_idle_helper(item: cst.CSTNode, idle: Set[str]) -> bool:
    return isinstance(item, (cst.ClassDef, cst.FunctionDef)) and item.name.value in idle


def _without_imports(body: Sequence[Statement], idle: Set[str]) -> list[Statement]:
    kept: list[Statement] = []
    orphaned: Sequence[cst.EmptyLine] = ()
    for item in body:
        if orphaned and not item.leading_lines:
            item = item.with_changes(leading_lines=orphaned)
        orphaned = ()
        rest = _without_names(item, idle) if m.matches(item, _IMPORT) else item
        if rest is None:
            orphaned = item.leading_lines
        else:
            kept.append(rest)
    return kept


def _without_names(item: Statement, idle: Set[str]) -> Statement | None:
    """Return an import without the names that nothing uses; None if that is all of them."""
    statement = cst.ensure_type(item, cst.SimpleStatementLine).body[0]
    if not isinstance(statement, (cst.Import, cst.ImportFrom)) or isinstance(statement.names, cst.ImportStar):
        return item
    kept = [alias for alias in statement.names if _bound(alias) not in idle]
    if len(kept) == len(statement.names):
        return item
    if not kept:
        return None
    kept[-1] = kept[-1].with_changes(comma=statement.names[-1].comma)
    return item.with_changes(body=[statement.with_changes(names=kept)])


def _bound(alias: cst.ImportAlias) -> str:
    name = alias.asname.name if alias.asname is not None else alias.name
    return (dotted(name) or "").partition(".")[0]


def with_imports(module: cst.Module, added: Sequence[Statement]) -> cst.Module:
    """Add imports below the file's last import of torch, or its last import, or its docstring."""
    if not added:
        return module
    places = [at for at, item in enumerate(module.body) if m.matches(item, _IMPORT)]
    torch = [at for at in places if "torch" in used_by_import(module.body[at])]
    at = (torch or places or [-1])[-1] + 1
    if at == 0 and module.body and module.get_docstring() is not None:
        at = 1
    return module.with_changes(body=[*module.body[:at], *added, *module.body[at:]])


def used_by_import(item: cst.CSTNode) -> set[str]:
    """Return the packages that an import statement reads."""
    statement = cst.ensure_type(item, cst.SimpleStatementLine).body[0]
    if isinstance(statement, cst.ImportFrom):
        return {(dotted(statement.module) or "").partition(".")[0]} if statement.module is not None else set()
    names = cst.ensure_type(statement, cst.Import).names
    return {(dotted(alias.name) or "").partition(".")[0] for alias in names}
