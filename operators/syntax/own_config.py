"""Give a part of each layer a configuration of its own, in which one field differs with depth."""

from collections.abc import Collection
from dataclasses import dataclass

import libcst as cst

from operators.syntax.depth import Way, way_to
from operators.syntax.patch import Patch
from operators.syntax.program import Class, Program
from operators.syntax.stack import block_class, fresh
from operators.syntax.tree import dotted, leaf, names, text, walk

_BOOKKEEPING = ("estimate_mfu", "from_pretrained", "get_num_params")  # methods that build and run nothing


@dataclass(frozen=True, eq=False)
class Handed:
    """Hold where a block hands the configuration to the part whose field is to differ."""

    way: Way  # to the block
    line: cst.CSTNode  # of the block's __init__, makes the part
    config: cst.Name
    field: str

    @property
    def said(self) -> str:
        """Return how the block's `__init__` says the field."""
        return f"{self.config.value}.{self.field}"

    def vary(self, program: Program, value: str) -> str:
        """Return the program in which the part gets this value, which may speak of `depth`."""
        patch = Patch(program)
        self.way.tell(program, patch)
        own = fresh(f"own_{self.field}", self.way.calls[-1][1])
        patch.before(self.line, f"{own} = {value}")
        copied = patch.spell("dataclasses.replace")
        patch.replace(self.config, f"{copied}({self.config.value}, {self.field}={own})")
        return patch.code()


def handed(program: Program, part: Class, field: str) -> Handed | None:
    """Return where a part of the block gets the configuration, if it alone builds by a field of it."""
    block = block_class(program)
    way = way_to(program, block) if block is not None and block is not part else None
    if block is None or block.init is None or way is None or not _is_field(program, field):
        return None
    calls = [call for call in program.all(cst.Call) if leaf(call.func) == part.name]
    if len(calls) != 1 or program.function_of(calls[0]) is not block.init:
        return None
    line = next((line for line in block.init.body.body if line in program.above(calls[0])), None)
    for at, arg in enumerate(calls[0].args):
        config = arg.value
        taken = _parameter(part, at, arg)
        if arg.star or line is None or not isinstance(config, cst.Name) or taken is None:
            return None
        mine = part.init is not None and f"{taken}.{field}" in map(dotted, walk(part.init))
        if mine and config.value in block.parameters() and _reads_nowhere_else(program, part, field):
            return Handed(way, line, config, field)
    return None


def differs(program: Program, fields: Collection[str]) -> bool:
    """Tell whether some part has a configuration of its own in which one of these fields is another."""
    copies = [call for call in program.all(cst.Call) if leaf(call.func) == "replace"]
    given = [arg.keyword.value for call in copies for arg in call.args if arg.keyword is not None]
    return not set(fields).isdisjoint(given)


def _parameter(part: Class, at: int, arg: cst.Arg) -> str | None:
    taken = part.parameters()
    if arg.keyword is not None:
        return arg.keyword.value
    return taken[at] if at < len(taken) else None


def _is_field(program: Program, field: str) -> bool:
    """Tell whether a dataclass of the file, and one only, has the field."""
    owners = [program.class_of(node) for node in program.all(cst.AnnAssign) if text(node.target) == field]
    decorators = [owner.node.decorators for owner in owners if owner is not None]
    return len(owners) == 1 and len(decorators) == 1 and any("dataclass" in names(d) for d in decorators[0])


def _reads_nowhere_else(program: Program, part: Class, field: str) -> bool:
    """Tell whether nothing else is built or run by a field, which would not know what a layer has."""
    for node in program.all(cst.Attribute):
        function = program.function_of(node)
        counts = function is None or function.name.value not in _BOOKKEEPING
        if (
            leaf(node) == field
            and counts
            and text(node) != f"self.{field}"
            and program.class_of(node) is not part
        ):
            return False
    return True
