"""Pass something more from the model's loop down to an inner `forward`, through all those on the way."""

from dataclasses import dataclass

import libcst as cst

from operators.syntax.patch import Patch
from operators.syntax.program import Class, Program
from operators.syntax.stack import Stack
from operators.syntax.tree import leaf, self_attribute, text, walk


@dataclass(frozen=True)
class Step:
    """Hold a function that gains a parameter, and every call of it."""

    function: cst.FunctionDef
    calls: list[cst.Call]


def route(program: Program, stack: Stack, function: cst.FunctionDef) -> list[Step] | None:
    """Return the steps from a `forward` out to the model's loop; None if they are not the only way to it."""
    steps: list[Step] = []
    while not any(step.function is function for step in steps):
        owner = program.class_of(function)
        if owner is None or not _can_take_more(owner, function):
            return None
        held = _held(program, owner)
        if owner is stack.block and not held:
            return [*steps, Step(function, [stack.call])]
        if len(held) != 1:
            return None
        holder, name = held[0]
        calls = [call for call in program.all(cst.Call) if self_attribute(_called(call)) == name]
        calls = [call for call in calls if program.class_of(call) is holder]
        outer = holder.methods.get("forward")
        if not calls or outer is None or any(not _is_plain(program, call, outer) for call in calls):
            return None
        steps.append(Step(function, calls))
        function = outer
    return None


def _can_take_more(owner: Class, function: cst.FunctionDef) -> bool:
    """Tell whether a function is a class's `forward(self, x, …)` without starred parameters."""
    taken = function.params
    starred = isinstance(taken.star_arg, cst.Param) or taken.star_kwarg is not None or taken.kwonly_params
    return function is owner.methods.get("forward") and not starred and len(taken.params) >= 2


def _held(program: Program, owner: Class) -> list[tuple[Class, str]]:
    """Return each class that keeps one of these in an attribute, and the attribute; lists aside."""
    return [
        (holder, name)
        for holder in program.classes.values()
        for name, _, value in holder.own()
        if any(isinstance(node, cst.Call) and leaf(node.func) == owner.name for node in walk(value))
        and not any(leaf(node) == "ModuleDict" or isinstance(node, cst.ListComp) for node in walk(value))
    ]


def _called(call: cst.Call) -> cst.BaseExpression:
    """Return the module that a call runs, also where it says `module.forward(…)`."""
    if isinstance(call.func, cst.Attribute) and call.func.attr.value == "forward":
        return call.func.value
    return call.func


def _is_plain(program: Program, call: cst.Call, function: cst.FunctionDef) -> bool:
    return program.function_of(call) is function and not any(arg.star for arg in call.args)


def pass_down(patch: Patch, steps: list[Step], name: str, given: str, annotation: str = "{}") -> None:
    """Give every function on the way a parameter; the model's loop passes `given`, the others pass it on.

    `annotation` says its type where the first parameter, `{}`, has one.
    """
    for step in steps:
        taken = step.function.params.params
        at = next((at for at, param in enumerate(taken) if param.default is not None), len(taken))
        type_of_x = taken[1].annotation
        typed = annotation.format(text(type_of_x.annotation)) if type_of_x is not None else ""
        passed = given if step is steps[-1] else name
        patch.change(step.function.params, _Insertion(patch, at, name, typed).into_params)
        for call in step.calls:
            patch.change(call, _Insertion(patch, at - 1, name, passed).into_call)


@dataclass(frozen=True)
class _Insertion:
    """Put something called `name` at a place among parameters or arguments; `code` is its type or value."""

    patch: Patch
    at: int
    name: str
    code: str

    def into_params(self, params: cst.Parameters) -> cst.Parameters:
        kept = list(params.params)
        before = kept[self.at - 1]
        annotation = cst.Annotation(self.patch.expression(self.code)) if self.code else None
        added = cst.Param(cst.Name(self.name), annotation, comma=before.comma)
        return params.with_changes(params=[*kept[: self.at], added, *kept[self.at :]])

    def into_call(self, call: cst.Call) -> cst.Call:
        args = list(call.args)
        positional = sum(arg.keyword is None for arg in args)
        value = self.patch.expression(self.code)
        if positional < self.at:
            added = cst.Arg(
                value,
                keyword=cst.Name(self.name),
                equal=cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace("")),
            )
            at = len(args)
        else:
            added, at = cst.Arg(value), self.at
        if at == len(args) and args:
            added = added.with_changes(comma=args[-1].comma)
            args[-1] = args[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
        return call.with_changes(args=[*args[:at], added, *args[at:]])
