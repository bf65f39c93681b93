"""Find the loop that runs a model's blocks, and work on it.

`for block in self.transformer.h`, `for i, layer in enumerate(self.layers)`, an index into `self.blocks`, a
function of the file that takes each one's parameters and a Sequential called as a whole are one thing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import libcst as cst
import libcst.matchers as m

from operators.syntax.patch import Patch
from operators.syntax.program import Class, Program, read_program
from operators.syntax.tree import assigned, dotted, leaf, names, text, walk

Statement = cst.SimpleStatementLine | cst.BaseCompoundStatement
_LISTS = ("ModuleList", "Sequential")


@dataclass(frozen=True, eq=False)
class Stack:
    """Hold the loop `for block in blocks: x = block(x)` of a model's `forward`."""

    model: Class
    made: Statement  # makes the list of blocks, in the model's __init__
    block: Class | None  # where the file itself defines it
    function: cst.FunctionDef
    loop: cst.For
    blocks: str  # self.transformer.h
    statement: Statement  # of the loop's body, holds the call
    call: cst.Call  # block(x), or block(x, p) where the list holds parameters alone
    stream: str  # x
    index: str | None

    def numbered(self, patch: Patch) -> str:
        """Return the variable that counts the layers; counts them if none did."""
        if self.index is not None:
            return self.index
        index = fresh("i", self.function)
        patch.replace(self.loop.target, f"{index}, {text(self.loop.target)}")
        patch.replace(self.loop.iter, f"enumerate({self.blocks})")
        return index


def fresh(name: str, *functions: cst.FunctionDef) -> str:
    """Return a name that none of these functions uses: this one, or with a number behind it."""
    taken = {used for function in functions for used in names(function)}
    count = 2
    chosen = name
    while chosen in taken:
        chosen, count = f"{name}{count}", count + 1
    return chosen


@lru_cache(maxsize=32)
def stack(program: Program) -> Stack | None:
    """Return the one loop over blocks; None if there is none, or if several run them."""
    found = list(_stacks(program))
    return found[0] if len(found) == 1 else None


def block_class(program: Program) -> Class | None:
    """Return the class of the file of whose layers the model is a stack; None if there is no such stack."""
    found = stack(looped(program))
    return program.classes.get(found.block.name) if found is not None and found.block is not None else None


@lru_cache(maxsize=32)
def looped(program: Program) -> Program:
    """Return the program with `x = self.blocks(x)` spelled as a loop, and blocks that are appended as a list.

    That is the program itself where nothing of the kind is found.
    """
    program = _listed(program)
    for owner in program.classes.values():
        forward = owner.methods.get("forward")
        for statement in walk(forward) if forward is not None else ():
            pair = assigned(statement)
            if pair is None or not isinstance(pair[1], cst.Call):
                continue
            stream, blocks, given = dotted(pair[0]), dotted(pair[1].func) or "", pair[1].args
            runs = len(given) == 1 and dotted(given[0].value) == stream is not None
            if runs and blocks.startswith("self.") and _list_made(program, owner, blocks) is not None:
                return _spelled_out(program, statement, blocks, stream or "")
    return program


def _listed(program: Program) -> Program:
    """Return the program with blocks that a loop appends to a ModuleList made in one line."""
    empty = m.Call(func=m.Attribute(attr=m.Name("ModuleList")) | m.Name("ModuleList"), args=[])
    for owner in program.classes.values():
        for line, loop in pairwise(owner.init.body.body) if owner.init is not None else ():
            pair = assigned(line)
            if pair is None or not m.matches(pair[1], empty) or not isinstance(loop, cst.For):
                continue
            call = appended(loop, text(pair[0]))
            if call is not None:
                patch = Patch(program)
                made = cst.ensure_type(pair[1], cst.Call)
                over = f"for {text(loop.target)} in {text(loop.iter)}"
                patch.replace(made, f"{text(made.func)}([{text(call.args[0].value)} {over}])")
                patch.remove(loop)
                spelled = read_program(patch.code())
                assert spelled is not None, "a list in the place of a loop can be parsed"
                return spelled
    return program


def appended(loop: cst.For, blocks: str) -> cst.Call | None:
    """Return the call `blocks.append(…)` that is all a loop does."""
    line = m.SimpleStatementLine(
        body=[m.Expr(m.Call(func=m.Attribute(attr=m.Name("append")), args=[m.Arg()]))]
    )
    if loop.orelse is not None or not m.matches(loop.body, m.IndentedBlock(body=[line])):
        return None
    call = next(node for node in walk(loop.body) if isinstance(node, cst.Call))
    return call if dotted(call.func) == f"{blocks}.append" else None


def _spelled_out(program: Program, statement: cst.CSTNode, blocks: str, stream: str) -> Program:
    patch = Patch(program)
    patch.before(statement, f"for block in {blocks}:\n    {stream} = block({stream})")
    patch.remove(statement)
    spelled = read_program(patch.code())
    assert spelled is not None, "a loop in the place of a line can be parsed"
    return spelled


def _stacks(program: Program) -> Iterator[Stack]:
    for loop in program.all(cst.For):
        owner, function = program.class_of(loop), program.function_of(loop)
        head = _head(loop)
        if owner is None or function is None or head is None or not isinstance(loop.body, cst.IndentedBlock):
            continue
        blocks, called, index = head
        made = _list_made(program, owner, blocks)
        run = _run(program, loop, called)
        if made is None or run is None:
            continue
        statement, call, stream = run
        line = program.line_of(made)
        assert line is not None, "a list that an __init__ makes is part of a statement"
        block = next((program.classes[name] for name in _made_in(made) if name in program.classes), None)
        yield Stack(owner, line, block, function, loop, blocks, statement, call, stream, index)


def _head(loop: cst.For) -> tuple[str, str, str | None] | None:
    """Return the list that a loop runs over, what the body calls one of it, and the name of the count."""
    target, over = loop.target, loop.iter
    if isinstance(target, cst.Name) and dotted(over) is not None:
        return dotted(over) or "", target.value, None
    if isinstance(target, cst.Name) and m.matches(over, m.Call(func=m.Name("range"), args=[m.Arg()])):
        length = cst.ensure_type(over, cst.Call).args[0].value
        if m.matches(length, m.Call(func=m.Name("len"), args=[m.Arg()])):
            blocks = dotted(cst.ensure_type(length, cst.Call).args[0].value) or ""
            return blocks, f"{blocks}[{target.value}]", target.value
    pair = m.matches(target, m.Tuple(elements=[m.Element(m.Name()), m.Element(m.Name())]))
    if pair and m.matches(over, m.Call(func=m.Name("enumerate"), args=[m.Arg()])):
        index, block = (leaf(element.value) for element in cst.ensure_type(target, cst.Tuple).elements)
        return dotted(cst.ensure_type(over, cst.Call).args[0].value) or "", block, index
    return None


def _run(program: Program, loop: cst.For, called: str) -> tuple[Statement, cst.Call, str] | None:
    """Return where the body says `x = block(x, …)`, or `x = function(x, p, …)`, the call, and x."""
    for statement in loop.body.body:
        for node in walk(statement):
            pair = assigned(node)
            if pair is None or not isinstance(pair[0], cst.Name) or not isinstance(pair[1], cst.Call):
                continue
            stream, call = pair[0].value, pair[1]
            first = call.args[0].value if call.args else None
            runs = text(call.func) == called or _takes(program, call, called)
            if runs and first is not None and dotted(first) == stream:
                assert isinstance(statement, Statement), "the body of a loop on lines of its own"
                return statement, call, stream
    return None


def _takes(program: Program, call: cst.Call, called: str) -> bool:
    """Tell whether a function of the file is given what the loop is at."""
    own = isinstance(call.func, cst.Name) and call.func.value in program.functions
    return own and any(text(arg.value) == called for arg in call.args[1:])


def _list_made(program: Program, owner: Class, blocks: str) -> cst.Call | None:
    """Return the call that makes the list of blocks, if a line of `__init__` makes them one by one."""
    if owner.init is None:
        return None
    for line in owner.init.body.body:
        known = program.classes.keys() | program.functions.keys()
        for call in (node for node in walk(line) if isinstance(node, cst.Call)):
            counted = any(isinstance(node, (cst.ListComp, cst.GeneratorExp)) for node in walk(call))
            makes = leaf(call.func) in _LISTS and any(made in known for made in _made_in(call))
            if counted and makes and label(program, call) == blocks.rpartition(".")[2]:
                return call
    return None


def label(program: Program, call: cst.Call) -> str:
    """Return the name that what a call makes is given: of an attribute, an argument or an entry."""
    parent = program.parents[call]
    if isinstance(parent, cst.Arg) and parent.keyword is not None:
        return parent.keyword.value
    if isinstance(parent, cst.DictElement) and isinstance(parent.key, cst.SimpleString):
        return str(parent.key.evaluated_value)
    pair = assigned(program.line_of(call) or call)
    return leaf(pair[0]) if pair is not None and pair[1] is call else ""


def _made_in(call: cst.Call) -> list[str]:
    return [leaf(node.func) for node in walk(call) if isinstance(node, cst.Call)]
