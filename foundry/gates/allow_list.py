"""Allow-list: the source imports, calls and reaches only what a model needs: no files, processes or network.

Read from the syntax tree, before anything runs. It stops what is clumsy and what is hostile in the open; it
does not stop an adversary who looks for holes in Python: that is the sandbox's work.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from foundry.gates import vocabulary
from foundry.gates.scopes import aliases, bound_by, targets_of
from foundry.gates.subject import Subject
from foundry.source import FILENAME

ORDER = 30


def examine(subject: Subject) -> str | None:
    reader = _Reader(aliases(subject.tree))
    reader.visit(subject.tree)
    if not reader.found:
        return None
    line, offence = min(reader.found)
    return f"{offence} ({FILENAME}:{line})"


class _Reader(ast.NodeVisitor):
    """Collect (line, offence), following Python's scopes so that a local `input` or `F` is left alone."""

    def __init__(self, imported: dict[str, str]) -> None:
        self.imported = imported  # name in the source -> dotted name of what it stands for
        self.local: list[set[str]] = []  # names of the enclosing functions and comprehensions
        self.loaders = 0  # how many enclosing functions are nanoGPT's `from_pretrained`
        self.found: list[tuple[int, str]] = []

    def report(self, node: ast.expr | ast.stmt, offence: str | None) -> None:
        if offence is not None:
            self.found.append((node.lineno, offence))

    # Imports

    def visit_Import(self, node: ast.Import) -> None:
        for name in node.names:
            if not self.may_import(name.name):
                self.report(node, f"imports {name.name}")

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        if node.level or not self.may_import(module):
            self.report(node, f"imports {'.' * node.level}{module}")
        elif module not in vocabulary.ONLY_WHEN_LOADING:
            for name in node.names:
                self.report(node, _imported_name(module, name.name))

    def may_import(self, module: str) -> bool:
        return vocabulary.is_module(module) or (self.loaders > 0 and module in vocabulary.ONLY_WHEN_LOADING)

    # Names and attributes

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load) or self.is_local(node.id):
            return
        if node.id in vocabulary.FORBIDDEN_BUILTINS or _foreign_dunder(node.id):
            self.report(node, f"uses {node.id}")
        elif node.id in self.imported:
            self.report(node, _used(self.imported[node.id]))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in vocabulary.FORBIDDEN_ATTRIBUTES or _foreign_dunder(node.attr):
            self.report(node, f"reaches {node.attr}")
        if node.attr == "from_pretrained" and not self.loaders:
            self.report(node, "calls from_pretrained, which reaches for the network")
        dotted = self.dotted(node)
        if dotted is None:
            self.visit(node.value)
        elif isinstance(node.ctx, ast.Load):
            self.report(node, _used(dotted))
        else:
            self.report(node, f"changes {dotted}")

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func.id if isinstance(node.func, ast.Name) else ""
        if function not in ("getattr", "hasattr") or len(node.args) < 2:
            self.generic_visit(node)
            return
        owner, name, *rest = node.args
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            self.visit(ast.copy_location(ast.Attribute(owner, name.value, ast.Load()), node))
            self.visit_all(rest)
        else:
            self.report(node, f"calls {function} with a computed name")

    def dotted(self, node: ast.expr) -> str | None:
        """Spell out `nn.Linear` as torch.nn.Linear; None for a chain that does not begin at an import."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id not in self.imported or self.is_local(node.id):
            return None
        return ".".join([self.imported[node.id], *reversed(parts)])

    def is_local(self, name: str) -> bool:
        return any(name in names for names in self.local)

    # Scopes: what is evaluated outside of one is visited outside of it

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.visit_all([*node.decorator_list, node.args, *([node.returns] if node.returns else [])])
        loads = node.name == "from_pretrained" and all(_is_method_kind(kind) for kind in node.decorator_list)
        self.loaders += loads
        self.visit_inside(bound_by(node), node.body)
        self.loaders -= loads

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit(node.args)
        self.visit_inside(bound_by(node), [node.body])

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        first, *others = node.generators
        self.visit(first.iter)
        results = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self.visit_inside(targets_of(node), [*first.ifs, *others, *results])

    visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_ListComp

    def visit_inside(self, names: set[str], nodes: Iterable[ast.AST]) -> None:
        self.local.append(names)
        self.visit_all(nodes)
        self.local.pop()

    def visit_all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)


def _used(dotted: str) -> str | None:
    if vocabulary.ends_at_module(dotted) and vocabulary.offence(dotted) is None:
        return f"uses module {dotted} as a value"  # under another name, its attributes would go unseen
    return vocabulary.offence(dotted)


def _imported_name(module: str, name: str) -> str | None:
    if name == "*":
        return f"imports everything from {module}"
    return vocabulary.offence(f"{module}.{name}")


def _foreign_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__") and name not in vocabulary.DUNDERS


def _is_method_kind(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Name) and decorator.id in ("classmethod", "staticmethod")
