"""Tell each layer of the stack how deep it lies, through the constructors on the way to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import libcst as cst
import libcst.matchers as m

from operators.syntax.patch import Patch
from operators.syntax.program import Class, Program
from operators.syntax.stack import Stack, appended, looped, stack
from operators.syntax.tree import leaf, names, text, walk

NAME = "depth"
_Item = TypeVar("_Item", cst.Arg, cst.Param)


def making_line(program: Program, found: Stack) -> cst.CSTNode | None:
    """Return the line that makes the blocks, in the program as it is, where `found` may be of `looped`."""
    owner = program.classes[found.model.name]
    lines = owner.init.body.body if owner.init is not None else ()
    made = next((line for line in lines if text(line) == text(found.made)), None)
    filling = (line for line in lines if isinstance(line, cst.For) and appended(line, found.blocks))
    return made or next(filling, None)


@dataclass(frozen=True, eq=False)
class Way:
    """Hold the calls from the list of blocks down to a class, and the count of the list."""

    comprehension: cst.CompFor
    count: str
    calls: list[tuple[cst.Call, cst.FunctionDef]]  # each with the __init__ that it runs

    def tell(self, program: Program, patch: Patch) -> None:
        """Give each `__init__` on the way that has none a parameter `depth`, from above 0 to below 1."""
        target = cst.ensure_type(self.comprehension.target, cst.Name)
        index = "i" if target.value == "_" else target.value
        patch.rename(target, index)
        for at, (call, init) in enumerate(self.calls):
            if _takes_depth(init):
                continue
            value = _depth_of(index, self.count) if at == 0 else NAME
            patch.change(call, _Longer(patch, value).call)
            patch.change(init.params, _Longer(patch, _annotation(init)).params)


def way_to(program: Program, owner: Class) -> Way | None:
    """Return the way from the stack to a class that each block holds once, or that is the block itself."""
    found = stack(looped(program))
    block = program.classes.get(found.block.name) if found is not None and found.block is not None else None
    line = making_line(program, found) if found is not None else None
    comprehensions = (
        [node for node in walk(line) if isinstance(node, cst.CompFor)] if line is not None else []
    )
    if block is None or len(comprehensions) != 1:
        return None
    (counted,) = comprehensions
    range_ = m.Call(func=m.Name("range"), args=[m.Arg(keyword=None)])
    if not isinstance(counted.target, cst.Name) or not m.matches(counted.iter, range_):
        return None
    path = [block] if owner is block else [block, owner]
    calls = [_only_call(program, step) for step in path]
    inits = [step.init for step in path]
    count = text(cst.ensure_type(counted.iter, cst.Call).args[0].value)
    depths = [_depth_of(counted.target.value, count), NAME]
    if None in calls or not all(
        init is not None and call is not None and (_can_take_more(init) or _is_told(call, init, depth))
        for call, init, depth in zip(calls, inits, depths, strict=False)
    ):
        return None
    if owner is not block and program.class_of(calls[1]) is not block:  # type: ignore[arg-type]
        return None
    return Way(counted, count, [*zip(calls, inits, strict=True)])  # type: ignore[list-item]


def _depth_of(index: str, count: str) -> str:
    return f"({index} + 0.5) / {count}"


def _takes_depth(init: cst.FunctionDef) -> bool:
    return bool(init.params.params) and init.params.params[-1].name.value == NAME


def _is_told(call: cst.Call, init: cst.FunctionDef, depth: str) -> bool:
    """Tell whether an earlier edit has led the depth here already."""
    return _takes_depth(init) and bool(call.args) and text(call.args[-1].value) == depth


def _only_call(program: Program, owner: Class) -> cst.Call | None:
    calls = [call for call in program.all(cst.Call) if leaf(call.func) == owner.name]
    return calls[0] if len(calls) == 1 and not any(arg.star for arg in calls[0].args) else None


def _can_take_more(init: cst.FunctionDef) -> bool:
    params = init.params
    plain = not (params.kwonly_params or params.star_kwarg or isinstance(params.star_arg, cst.Param))
    return plain and all(param.default is None for param in params.params) and NAME not in names(init)


def _annotation(init: cst.FunctionDef) -> str:
    """Return the type to write, where the other parameters have types."""
    return "float" if any(param.annotation is not None for param in init.params.params) else ""


@dataclass(frozen=True)
class _Longer:
    """Put `depth` behind arguments, with its value, or behind parameters, with its type."""

    patch: Patch
    code: str

    def call(self, call: cst.Call) -> cst.Call:
        named = any(arg.keyword is not None for arg in call.args)
        argument = f"{NAME}={self.code}" if named else self.code
        (added,) = cst.ensure_type(self.patch.expression(f"f({argument})"), cst.Call).args
        return call.with_changes(args=_appended(call.args, added))

    def params(self, params: cst.Parameters) -> cst.Parameters:
        annotation = cst.Annotation(cst.Name(self.code)) if self.code else None
        added = cst.Param(cst.Name(NAME), annotation)
        return params.with_changes(params=_appended(params.params, added))


def _appended(items: Sequence[_Item], added: _Item) -> list[_Item]:
    """Append to what is separated by commas; the end stays as it was."""
    found: list[_Item] = list(items)
    found.append(added)
    if items:
        found[-2] = items[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
        found[-1] = added.with_changes(comma=items[-1].comma)
    return found
