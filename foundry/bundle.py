"""One self-contained file of a model that is written in several.

What a model's file imports from files beside it is put in the place of the import, once, with what those
import in turn. Only whole names are followed: `from layers import Block`, `from .layers import Block as B`.
Not covered: `import layers`, star imports, and imports inside functions.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from foundry.errors import UserError
from foundry.pruning import is_main, is_text, scriptless


def bundled(path: Path) -> str:
    """Return the source at `path` with the files that it imports from its own folder, without a script.

    One that imports none and has no script comes back byte for byte.

    Raises:
        UserError: a file cannot be read or parsed, or is imported as a whole; or two define the same name.
    """
    text = read(path)
    parsed(text, path)
    text = scriptless(text)
    return _Bundle().joined(path, text) if any(_local(path, ast.parse(text))) else text


def read(path: Path) -> str:
    """Return the text of a model's file. Raises UserError if it cannot be read as UTF-8."""
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"model file {str(path)!r} cannot be read as UTF-8 text: {error}") from None


def parsed(text: str, name: object) -> ast.Module:
    """Return the syntax tree of a model's file. Raises UserError, with the line, if there is none."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError) as error:
        lineno = getattr(error, "lineno", None)  # none for a null byte
        line = f" at line {lineno}" if lineno else ""
        raise UserError(f"model file {str(name)!r} is not valid Python{line}") from None


class _Bundle:
    """Collects the texts of files that import each other, each once."""

    def __init__(self) -> None:
        self._taken: set[Path] = set()
        self._known: dict[str, tuple[str, Path]] = {}  # of each name: what an import binds to it, and where
        self._futures: dict[str, None] = {}

    def joined(self, path: Path, text: str) -> str:
        """Return the text of the file that all others are imported from."""
        body = self._text(path, text)
        first = ast.parse(body).body[:1]
        at = first[0].end_lineno or 0 if first and is_text(first[0]) else 0
        lines = body.splitlines(keepends=True)
        return "".join((*lines[:at], *self._futures, *lines[at:]))

    def _text(self, path: Path, text: str) -> str:
        """Return a file's text, what it imports from beside it in the place of the import."""
        outermost = not self._taken
        self._taken.add(path.resolve())
        tree, lines = parsed(text, path), text.splitlines(keepends=True)
        local = dict(_local(path, tree))
        for node in tree.body:
            if node in local:
                kept: str | None = self._imported(node, local[node])
            elif isinstance(node, ast.ImportFrom) and node.module == "__future__":
                self._futures[ast.unparse(node) + "\n"] = None
                kept = ""
            elif not outermost and (is_text(node) or is_main(node)):
                kept = ""
            else:
                kept = None if self._is_new(node, path) else ""
            if kept is not None:
                lines[node.lineno - 1] = kept
                lines[node.lineno : node.end_lineno] = [""] * ((node.end_lineno or 0) - node.lineno)
        return "".join(lines)

    def _imported(self, node: ast.ImportFrom, path: Path) -> str:
        text = "" if path.resolve() in self._taken else self._text(path, read(path)).strip("\n") + "\n"
        return text + "".join(f"{alias.asname} = {alias.name}\n" for alias in node.names if alias.asname)

    def _is_new(self, node: ast.stmt, path: Path) -> bool:
        """Take the names that a statement binds; False for an import of what all has been imported."""
        new = False
        for name, meaning in _bound(node):
            if name not in self._known:
                self._known[name], new = (meaning, path), True
            known, owner = self._known[name]
            if owner != path and not (known and known == meaning):
                raise UserError(f"{owner.name} and {path.name} both define {name}: rename it in one of them")
        return new or not isinstance(node, (ast.Import, ast.ImportFrom))


def _local(path: Path, tree: ast.Module) -> Iterator[tuple[ast.ImportFrom, Path]]:
    """Yield each import at the top level of a file that means a file beside it, and which."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            folder = path.parent.joinpath(*[".."] * (node.level - 1))
            file = folder / f"{(node.module or '').replace('.', '/')}.py"
            beside = node.level > 0 or file.is_file()
            if beside and (node.module is None or node.names[0].name == "*"):
                raise _whole(path, node)
            if beside:
                yield node, file
        if isinstance(node, ast.Import):
            names = [alias.name.replace(".", "/") for alias in node.names]
            if any((path.parent / f"{name}.py").is_file() for name in names):
                raise _whole(path, node)


def _whole(path: Path, node: ast.stmt) -> UserError:
    return UserError(
        f"{path.name} line {node.lineno}: {ast.unparse(node)!r} cannot be put into one file: "
        "name what it shall import, as in 'from layers import Block'"
    )


def _bound(node: ast.stmt) -> list[tuple[str, str]]:
    """Return the names that a statement at the top level defines, each with what an import binds to it."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [(node.name, "")]
    if isinstance(node, ast.Import):
        whole = [(alias.asname or alias.name, alias.name) for alias in node.names]
        return [(name, meaning) for name, meaning in whole if "." not in name]
    if isinstance(node, ast.ImportFrom):
        return [(alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [(target.id, "") for target in targets if isinstance(target, ast.Name)]
