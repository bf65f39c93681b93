"""Find the normalisation layers of a program: torch's, and classes of the file's own."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import libcst as cst
import libcst.matchers as m

from operators.syntax.program import Class, Program
from operators.syntax.tree import argument, assigned, dotted, text, walk

_TORCH = {"torch.nn.LayerNorm": "layernorm", "torch.nn.RMSNorm": "rmsnorm"}
FUNCTIONS = {"torch.nn.functional.layer_norm": "layernorm", "torch.nn.functional.rms_norm": "rmsnorm"}
_OF_QUERIES_OR_KEYS = re.compile(r"(^|[._])(q|k|qk|kv|query|key|queries|keys)(_|$)")


@dataclass(frozen=True)
class Norm:
    """Hold one class of normalisation layers, and the calls that make layers of it."""

    kind: str  # layernorm or rmsnorm
    spelled: str  # nn.LayerNorm
    owner: Class | None  # where the file itself defines it
    calls: list[cst.Call]
    mentions: list[cst.BaseExpression]  # as a type, not called: isinstance(module, nn.LayerNorm)

    def arguments(self, call: cst.Call) -> tuple[str | None, str | None]:
        """Return the size and epsilon that a call gives, through the settings where it is given those."""
        known = self.owner.parameters() if self.owner is not None else ["normalized_shape", "eps"]
        size = argument(call, 0, *known[:1])
        at = next((at for at, name in enumerate(known) if "eps" in name), len(call.args))
        eps = argument(call, at, *(name for name in known if "eps" in name))
        if self.owner is not None and size is not None and takes_settings(self.owner):
            return _of_settings(self.owner, size.value)
        return (text(size.value) if size else None), (text(eps.value) if eps else None)


def takes_settings(owner: Class) -> bool:
    """Tell whether the first argument of `__init__` is no size but holds one: it reads `config.n_embd`."""
    known = owner.parameters()
    return bool(known) and owner.init is not None and bool(_read_of(owner.init, known[0]))


def _read_of(root: cst.CSTNode, name: str) -> list[cst.Attribute]:
    return [
        node
        for node in walk(root)
        if isinstance(node, cst.Attribute) and (dotted(node) or "").startswith(f"{name}.")
    ]


def _of_settings(owner: Class, given: cst.BaseExpression) -> tuple[str | None, str | None]:
    """Return size and epsilon as the caller of `LayerNorm(config)` could spell them."""
    settings, chain = owner.parameters()[0], dotted(given)
    found: dict[str, str] = {}
    for name, _, value in owner.own() if chain is not None else ():
        read = _read_of(value, settings)
        if len(read) == 1:
            spelled = f"{chain}{(dotted(read[0]) or '')[len(settings) :]}"
            found.setdefault("eps" if "eps" in name else "size", spelled)
    return found.get("size"), found.get("eps")


@lru_cache(maxsize=32)
def norms(program: Program) -> tuple[Norm, ...]:
    """Return every kind of normalisation layer that the file makes."""
    found: dict[str, Norm] = {}
    for node in program.nodes:
        if not isinstance(node, (cst.Name, cst.Attribute)):
            continue
        name = program.qualified(node) or ""
        owner = program.classes.get(name)
        kind = _TORCH.get(name) or (_kind(owner) if owner is not None else None)
        if kind is None or not _is_read(program, node) or program.class_of(node) is owner is not None:
            continue
        norm = found.setdefault(name, Norm(kind, text(node), owner, [], []))
        parent = program.parents[node]
        if isinstance(parent, cst.Call) and parent.func is node:
            norm.calls.append(parent)
        else:
            norm.mentions.append(node)
    return tuple(norm for norm in found.values() if norm.calls)


def normalises_queries_or_keys(program: Program, call: cst.Call) -> bool:
    """Tell by its name whether a layer belongs to query-key normalisation."""
    pair = assigned(program.line_of(call) or call)
    parent = program.parents[call]
    label = text(pair[0]) if pair else ""
    if isinstance(parent, cst.Arg) and parent.keyword is not None:
        label = parent.keyword.value
    return _OF_QUERIES_OR_KEYS.search(label) is not None


def plain_norms(program: Program) -> dict[str, list[cst.Call]]:
    """Return by kind the calls `F.rms_norm(x, shape)` without weights, those of queries and keys aside."""
    found: dict[str, list[cst.Call]] = {}
    for call in program.all(cst.Call):
        kind = FUNCTIONS.get(program.qualified(call.func) or "")
        function = program.function_of(call)
        outside = function is not None and function.name.value in program.functions
        calls = _calls_of(program, function) if outside and function is not None else [call]
        of_heads = any(_reads_queries_or_keys(program, one) for one in calls)
        if kind is not None and len(call.args) == 2 and not of_heads and not _in_a_norm(program, call):
            found.setdefault(kind, []).append(call)
    return found


def _reads_queries_or_keys(program: Program, call: cst.Call) -> bool:
    given = text(call.args[0].value) if call.args else ""
    return _OF_QUERIES_OR_KEYS.search(given) is not None or normalises_queries_or_keys(program, call)


def _calls_of(program: Program, function: cst.FunctionDef) -> list[cst.Call]:
    return [call for call in program.all(cst.Call) if m.matches(call.func, m.Name(function.name.value))]


def _in_a_norm(program: Program, call: cst.Call) -> bool:
    owner = program.class_of(call)
    return owner is not None and "norm" in owner.name.lower()


def _is_read(program: Program, node: cst.CSTNode) -> bool:
    parent = program.parents[node]
    if isinstance(parent, cst.Arg):
        grand = program.parents[parent]
        return parent.value is node and not isinstance(grand, cst.ClassDef)
    elsewhere = (cst.ImportAlias, cst.ImportFrom, cst.ClassDef, cst.Attribute)
    return not isinstance(parent, elsewhere)


def _kind(owner: Class) -> str | None:
    """Tell what a class of the file normalises by, from its body first: T5LayerNorm is an RMSNorm."""
    if "norm" not in owner.name.lower() or "forward" not in owner.methods or not owner.node.bases:
        return None
    code = text(owner.methods["forward"])
    if "rms_norm" in code:
        return "rmsnorm"
    if "layer_norm" in code:
        return "layernorm"
    if re.search(r"sqrt|norm\(", code) and "super()" not in code:
        return (
            "layernorm"
            if re.search(r"var\(|- *(self\.)?(mu|mean|u)\b|- *\w+\.mean\(|std\(", code)
            else "rmsnorm"
        )
    name = owner.name.lower().replace("_", "")
    return "rmsnorm" if "rmsnorm" in name else "layernorm" if "layernorm" in name else None


def type_tests(program: Program, node: cst.CSTNode) -> Iterator[cst.If]:
    """Yield the branch that a mention of a type decides, if it stands in `isinstance` of its test."""
    for parent in program.above(node):
        if isinstance(parent, (cst.IndentedBlock, cst.FunctionDef)):
            return
        if isinstance(parent, cst.If):
            if m.findall(parent.test, m.Call(func=m.Name("isinstance"))):
                yield parent
            return
