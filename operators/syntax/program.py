"""A model's source, parsed once, with the questions that operators ask of it."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import libcst as cst
import libcst.matchers as m

from operators.syntax.tree import assigned, children, dotted, self_attribute, walk

_Node = TypeVar("_Node", bound=cst.CSTNode)


@dataclass(frozen=True, eq=False)
class Class:
    """Hold a class at the top level of the file."""

    name: str
    node: cst.ClassDef
    methods: dict[str, cst.FunctionDef]

    @property
    def init(self) -> cst.FunctionDef | None:
        return self.methods.get("__init__")

    def parameters(self) -> list[str]:
        """Return the names that `__init__` takes after self."""
        if self.init is None:
            return []
        taken = self.init.params
        return [param.name.value for param in (*taken.posonly_params, *taken.params, *taken.kwonly_params)][
            1:
        ]

    def own(self) -> list[tuple[str, cst.SimpleStatementLine, cst.BaseExpression]]:
        """Return each `self.name = value` of `__init__`: the name, the line and the value."""
        found = []
        for node in walk(self.init) if self.init is not None else ():
            pair = assigned(node)
            name = self_attribute(pair[0]) if pair else None
            if pair and name is not None:
                found.append((name, cst.ensure_type(node, cst.SimpleStatementLine), pair[1]))
        return found


class Program:
    """Answer questions about one parsed file. Never changed; `Patch` makes the new text."""

    def __init__(self, text: str, module: cst.Module) -> None:
        self.text = text
        self.module = module
        self.nodes = walk(module)
        self.parents = {child: node for node in self.nodes for child in children(node)}
        self._by_kind: dict[type[cst.CSTNode], list[cst.CSTNode]] = defaultdict(list)
        for node in self.nodes:
            self._by_kind[type(node)].append(node)
        self.imports = _imports(self)
        self.classes = {
            node.name.value: _class(node) for node in module.body if isinstance(node, cst.ClassDef)
        }
        self.functions = {node.name.value: node for node in module.body if isinstance(node, cst.FunctionDef)}

    def all(self, kind: type[_Node]) -> list[_Node]:
        """Return every node of exactly this kind, in order."""
        return self._by_kind[kind]  # type: ignore[return-value]

    def above(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        """Yield the parents of a node, nearest first."""
        while node in self.parents:
            node = self.parents[node]
            yield node

    def nearest(self, node: cst.CSTNode, kind: type[_Node]) -> _Node | None:
        """Return the nearest parent of this kind."""
        return next((parent for parent in self.above(node) if isinstance(parent, kind)), None)

    def function_of(self, node: cst.CSTNode) -> cst.FunctionDef | None:
        """Return the innermost function that a node stands in."""
        return self.nearest(node, cst.FunctionDef)

    def class_of(self, node: cst.CSTNode) -> Class | None:
        """Return the top-level class that a node stands in."""
        owner = None
        for parent in self.above(node):
            if isinstance(parent, cst.ClassDef):
                owner = parent
        found = self.classes.get(owner.name.value) if owner is not None else None
        return found if found is not None and found.node is owner else None  # a name may be defined twice

    def top(self, node: cst.CSTNode) -> cst.CSTNode:
        """Return the statement at the top level of the file that a node stands in."""
        return next(parent for parent in (node, *self.above(node)) if self.parents[parent] is self.module)

    def line_of(self, node: cst.CSTNode) -> cst.SimpleStatementLine | cst.BaseCompoundStatement | None:
        """Return the statement that a node is part of."""
        for parent in (node, *self.above(node)):
            if isinstance(parent, (cst.SimpleStatementLine, cst.BaseCompoundStatement)):
                return parent
        return None

    def home(self, node: cst.CSTNode) -> str:
        """Name where a node stands: `Class.method`, `Class`, `function` or `module`."""
        parts = [p.name.value for p in self.above(node) if isinstance(p, (cst.FunctionDef, cst.ClassDef))]
        return ".".join(reversed(parts)) or "module"

    def owner(self, node: cst.CSTNode) -> str:
        """Name the top-level class or function that a node stands in."""
        return self.home(node).partition(".")[0]

    def qualified(self, node: cst.CSTNode) -> str | None:
        """Return the full name of what a chain of names refers to, seen through the file's imports."""
        chain = dotted(node)
        if chain is None:
            return None
        head, dot, rest = chain.partition(".")
        return self.imports.get(head, head) + dot + rest

    def bound(self) -> set[str]:
        """Return the names that the file's top level defines."""
        found = set(self.imports) | set(self.classes) | set(self.functions)
        for statement in self.module.body:
            pair = assigned(statement)
            if pair and isinstance(pair[0], cst.Name):
                found.add(pair[0].value)
        return found

    def reads(self, root: cst.CSTNode, name: str) -> list[cst.Name]:
        """Return where a variable is read below a node; attributes and keywords of its name do not count."""
        found = []
        for node in walk(root):
            if isinstance(node, cst.Name) and node.value == name:
                parent = self.parents[node]
                attribute = isinstance(parent, cst.Attribute) and parent.attr is node
                keyword = isinstance(parent, (cst.Arg, cst.Param)) and node in (
                    getattr(parent, "keyword", None),
                    getattr(parent, "name", None),
                )
                if not attribute and not keyword and not isinstance(parent, cst.AssignTarget):
                    found.append(node)
        return found

    def config_defaults(self) -> Iterator[tuple[str, cst.AnnAssign]]:
        """Yield name and node of every field with a default in the file's dataclasses."""
        for owner in self.classes.values():
            for statement in owner.node.body.body:
                for small in statement.body if isinstance(statement, cst.SimpleStatementLine) else ():
                    if m.matches(small, m.AnnAssign(target=m.Name(), value=m.DoNotCare())):
                        field = cst.ensure_type(small, cst.AnnAssign)
                        if field.value is not None:
                            yield cst.ensure_type(field.target, cst.Name).value, field


def _class(node: cst.ClassDef) -> Class:
    methods = {item.name.value: item for item in node.body.body if isinstance(item, cst.FunctionDef)}
    return Class(node.name.value, node, methods)


def _imports(program: Program) -> dict[str, str]:
    """Map each name that an import binds, anywhere in the file, to what it stands for."""
    found: dict[str, str] = {}
    for plain in program.all(cst.Import):
        for alias in plain.names:
            name = dotted(alias.name) or ""
            if alias.asname is None:
                head = name.partition(".")[0]
                found[head] = head
            else:
                found[dotted(alias.asname.name) or ""] = name
    for chosen in program.all(cst.ImportFrom):
        source = dotted(chosen.module) if chosen.module is not None and not chosen.relative else None
        for alias in chosen.names if source and not isinstance(chosen.names, cst.ImportStar) else ():
            name = dotted(alias.name) or ""
            bound = dotted(alias.asname.name) if alias.asname is not None else name
            found[bound or ""] = f"{source}.{name}"
    return found


@lru_cache(maxsize=32)
def read_program(text: str) -> Program | None:
    """Parse a model's source; None where it is not Python."""
    try:
        return Program(text, cst.parse_module(text))
    except (cst.ParserSyntaxError, RecursionError, ValueError):
        return None
