"""Read the reference classes that operators copy, as text: operators never import them."""

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

import libcst as cst

from operators.syntax.program import Program
from operators.syntax.tree import dotted, text


@cache
def _program(module: str) -> Program:
    path = files("foundry") / "modules" / f"{module}.py"
    source = path.read_text(encoding="utf-8")
    return Program(source, cst.parse_module(source))


def reference_code(module: str, spell: Callable[[str], str]) -> tuple[str, str]:
    """Return name and code of the one class in `foundry/modules/<module>.py`.

    `spell` says how the receiving file writes `torch.nn.Parameter` and the like.
    """
    program = _program(module)
    (owner,) = program.classes.values()
    respelled = {}
    for node in program.nodes:
        chain = dotted(node)
        if (
            chain is None
            or isinstance(program.parents[node], cst.Attribute)
            or program.class_of(node) is not owner
        ):
            continue
        if chain.partition(".")[0] in program.imports:
            respelled[node] = spell(program.qualified(node) or "")
    copied = owner.node.with_changes(leading_lines=[]).visit(_Respell(respelled))
    assert isinstance(copied, cst.ClassDef), "respelling a class leaves a class"
    return owner.name, text(copied)


class _Respell(cst.CSTTransformer):
    def __init__(self, respelled: dict[cst.CSTNode, str]) -> None:
        super().__init__()
        self._respelled = respelled

    def on_leave(self, original_node: cst.CSTNodeT, updated_node: cst.CSTNodeT) -> Any:
        code = self._respelled.get(original_node)
        return updated_node if code is None else cst.parse_expression(code)
