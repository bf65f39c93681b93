"""Collect changes to a program and print the new text; everything else keeps its bytes.

Changes name nodes of the parsed program and work on the *updated* node, so changes inside one another add
up. What they leave without a use (an import, a helper class) goes as well.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any, cast

import libcst as cst
from libcst.helpers import parse_template_expression

from operators.syntax.program import Class, Program
from operators.syntax.reference import reference_code
from operators.syntax.tidy import tidied, used_names, with_imports

Change = Callable[[Any], cst.CSTNode]
Statement = cst.SimpleStatementLine | cst.BaseCompoundStatement

_IMPORTS = {
    "torch": ("torch", "import torch"),
    "torch.nn": ("nn", "import torch.nn as nn"),
    "torch.nn.functional": ("F", "from torch.nn import functional as F"),
    "dataclasses": ("dataclasses", "import dataclasses"),
}


class Patch:
    """Change a program: ask for each change by the node it concerns, then take `code()`."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._changes: dict[cst.CSTNode, list[Change]] = defaultdict(list)
        self._above: dict[cst.CSTNode, list[Statement]] = defaultdict(list)
        self._below: dict[cst.CSTNode, list[Statement]] = defaultdict(list)
        self._gone: set[cst.CSTNode] = set()
        self._imports: list[str] = []
        self._helpers: set[str] = set()
        self._copied: set[str] = set()

    def change(self, node: cst.CSTNode, change: Change) -> None:
        """Replace a node by a function of its updated self."""
        self._changes[node].append(change)

    def replace(self, node: cst.CSTNode, code: str) -> None:
        """Replace an expression by code."""
        self.change(node, lambda updated: self.expression(code))

    def rename(self, node: cst.Name | cst.Attribute, name: str) -> None:
        """Give a name, or the last part of a chain of names, another name."""
        last = node.attr if isinstance(node, cst.Attribute) else node
        self.change(last, lambda updated: updated.with_changes(value=name))

    def expression(self, template: str, **parts: cst.BaseExpression) -> cst.BaseExpression:
        """Parse an expression in the file's own manner; `{x}` in the template is filled by a node."""
        config = self._program.module.config_for_parsing
        if not parts:
            return cst.parse_expression(template, config)
        return parse_template_expression(template, config, **cast(dict[str, Any], parts))

    def statements(self, *lines: str) -> list[Statement]:
        """Parse statements, written with four spaces, into the file's own indentation and line ends."""
        module = self._program.module
        dressed = "\n".join(
            _indented(line, module.default_indent) for text in lines for line in text.split("\n")
        )
        return list(cst.parse_module(dressed + "\n", module.config_for_parsing).body)

    def before(self, statement: cst.CSTNode, *lines: str) -> None:
        """Insert lines above a statement, and above the comments that belong to it."""
        self._above[statement] += self.statements(*lines)

    def after(self, statement: cst.CSTNode, *lines: str) -> None:
        """Insert lines below a statement."""
        self._below[statement] += self.statements(*lines)

    def at_end(self, function: cst.FunctionDef, *lines: str) -> None:
        """Insert lines at the end of a function that returns nothing."""
        self.after(function.body.body[-1], *lines)

    def remove(self, statement: cst.CSTNode) -> None:
        """Remove a statement; blank lines above it stay, a block left empty goes or holds `pass`."""
        self._gone.add(statement)
        block = self._program.parents.get(statement)
        if not isinstance(block, (cst.IndentedBlock, cst.Module)):
            return
        at = block.body.index(cast(Statement, statement))
        blanks = _blank_lines(statement)
        if blanks and at + 1 < len(block.body) and not _leading(block.body[at + 1]):
            self.change(block.body[at + 1], lambda updated: updated.with_changes(leading_lines=blanks))
        if all(item in self._gone for item in block.body):
            self._empty(block)

    def _empty(self, block: cst.IndentedBlock | cst.Module) -> None:
        holder = self._program.parents.get(block)
        alone = isinstance(holder, (cst.For, cst.If)) and holder.orelse is None
        if alone and not isinstance(self._program.parents[cast(cst.CSTNode, holder)], cst.If):
            self.remove(cast(cst.CSTNode, holder))
        else:
            self._below[block.body[-1]] += self.statements("pass")

    def spell(self, qualified: str) -> str:
        """Return how this file says `torch.nn.functional.gelu`; imports what it needs for that."""
        known = {meaning: alias for alias, meaning in self._program.imports.items()}
        if qualified in known:
            return known[qualified]
        if qualified in _IMPORTS and _IMPORTS[qualified][0] not in self._program.bound():
            alias, statement = _IMPORTS[qualified]
            if statement not in self._imports:
                self._imports.append(statement)
            return alias
        module, _, name = qualified.rpartition(".")
        assert module, f"{qualified} cannot be imported here"
        return f"{self.spell(module)}.{name}"

    def copy(self, module: str, anchor: cst.CSTNode) -> str:
        """Copy the class of `foundry/modules/<module>.py` above a top-level node; return the class's name."""
        name, code = self._spelled(module)
        if name not in self._program.classes and name not in self._copied:
            self._copied.add(name)
            node = self.statements(code)[0]
            self._above[anchor].append(node.with_changes(leading_lines=[cst.EmptyLine(indent=False)] * 2))
        return name

    def become(self, module: str, owner: Class) -> str:
        """Put the class of `foundry/modules/<module>.py` in the place of another; return its name."""
        name, code = self._spelled(module)
        lines = owner.node.leading_lines
        self.change(owner.node, lambda updated: self.statements(code)[0].with_changes(leading_lines=lines))
        return name

    def _spelled(self, module: str) -> tuple[str, str]:
        return reference_code(module, self.spell)

    def helper(self, *definitions: str) -> None:
        """Name classes and functions of the file that shall go once nothing uses them."""
        self._helpers.update(definitions)

    def code(self) -> str:
        """Return the new text of the program."""
        module = self._program.module.visit(_Rewriter(self))
        module = with_imports(module, self.statements(*self._imports) if self._imports else [])
        return tidied(module, used_names(self._program.module), self._helpers)

    def way(self) -> set[cst.CSTNode]:
        """Return the changed nodes and all above them."""
        ends = {*self._changes, *self._above, *self._below, *self._gone}
        return ends.union(*(self._program.above(node) for node in ends))

    def outcome(
        self, original: cst.CSTNode, updated: cst.CSTNode
    ) -> cst.CSTNode | cst.RemovalSentinel | cst.FlattenSentinel[cst.CSTNode]:
        """Return what becomes of a node."""
        for change in self._changes.get(original, ()):
            updated = change(updated)
        if original not in self._above and original not in self._below and original not in self._gone:
            return updated
        kept = [] if original in self._gone else [updated]
        nodes = [*self._above.get(original, ()), *kept, *self._below.get(original, ())]
        return cst.FlattenSentinel(nodes) if nodes else cst.RemoveFromParent()


class _Rewriter(cst.CSTTransformer):
    """Carry out a patch, visiting nothing but the way to its changes."""

    def __init__(self, patch: Patch) -> None:
        super().__init__()
        self._patch = patch
        self._way = patch.way()

    def on_visit(self, node: cst.CSTNode) -> bool:
        return node in self._way

    def on_leave(self, original_node: cst.CSTNodeT, updated_node: cst.CSTNodeT) -> Any:
        return self._patch.outcome(original_node, updated_node)


def _indented(line: str, indent: str) -> str:
    stripped = line.lstrip(" ")
    depth, rest = divmod(len(line) - len(stripped), 4)
    return indent * depth + " " * rest + stripped


def _leading(statement: cst.CSTNode) -> list[cst.EmptyLine]:
    return list(getattr(statement, "leading_lines", ()))


def _blank_lines(statement: cst.CSTNode) -> list[cst.EmptyLine]:
    """Return the blank lines above a statement, up to its first comment."""
    lines = _leading(statement)
    comment = next((at for at, line in enumerate(lines) if line.comment is not None), len(lines))
    return lines[:comment]
