"""Find what each layer of a block adds to the residual stream."""

from dataclasses import dataclass

import libcst as cst
import libcst.matchers as m

from operators.syntax.norms import FUNCTIONS, norms
from operators.syntax.program import Class, Program
from operators.syntax.tree import assigned, leaf, self_attribute, walk

_NO_SUBLAYERS = ("Dropout", "Identity", "Parameter", "DropPath")


@dataclass(frozen=True, eq=False)
class Addend:
    """Hold what one sublayer adds: `self.attn(self.ln_1(x))` of `x + self.attn(self.ln_1(x))`."""

    name: str  # attn
    call: cst.Call  # of the sublayer itself
    whole: cst.BaseExpression
    sublayer: Class | None  # where the file itself defines it


def addends(program: Program, block: Class) -> list[Addend]:
    """Return what the sublayers of a block add, in order; empty unless each of them does so once."""
    forward = block.methods.get("forward")
    layers = sublayers(program, block)
    found: dict[cst.CSTNode, Addend] = {}  # the innermost sublayer stands for what is added
    for call in (node for node in walk(forward) if isinstance(node, cst.Call)) if forward is not None else ():
        name = _ran(call)
        if name in layers:
            whole = _added(program, call)
            if whole is None:
                return []
            found[whole] = Addend(name, call, whole, layers[name])
    different = len({addend.name for addend in found.values()}) == len(found)
    return list(found.values()) if different else []


def _ran(call: cst.Call) -> str | None:
    """Return `attn` for a call `self.attn(…)` or `self.attn.forward(…)`."""
    spelled_out = m.matches(call.func, m.Attribute(attr=m.Name("forward")))
    return self_attribute(cst.ensure_type(call.func, cst.Attribute).value if spelled_out else call.func)


def sublayers(program: Program, block: Class) -> dict[str, Class | None]:
    """Map the attributes of a block that transform the stream to their classes, norms and dropout aside."""
    made = [(name, value) for name, _, value in block.own()]
    norm_calls = {call for norm in norms(program) for call in norm.calls}
    found: dict[str, Class | None] = {}
    for name, value in made:
        calls = [node for node in walk(value) if isinstance(node, cst.Call)]
        if not calls or leaf(calls[0].func) in _NO_SUBLAYERS or norm_calls & set(calls):
            continue
        owner = next((program.classes[leaf(c.func)] for c in calls if leaf(c.func) in program.classes), None)
        if owner is not None or isinstance(value, cst.Lambda) or leaf(calls[0].func) == "Sequential":
            found[name] = owner
    return found


def _added(program: Program, call: cst.Call) -> cst.BaseExpression | None:
    """Return the operand of the sum, or the right side of `x += …`, that a call is part of."""
    below: cst.CSTNode = call
    for parent in program.above(call):
        if m.matches(parent, m.BinaryOperation(operator=m.Add())):
            assert isinstance(below, cst.BaseExpression), "an operand is an expression"
            return below
        if isinstance(parent, cst.AugAssign):
            assert isinstance(below, cst.BaseExpression), "what is added is an expression"
            return below if isinstance(parent.operator, cst.AddAssign) else None
        if isinstance(parent, (cst.BaseSmallStatement, cst.BaseCompoundStatement)):
            return _added_by_name(program, call)
        below = parent
    return None


def _added_by_name(program: Program, call: cst.Call) -> cst.BaseExpression | None:
    """Return `y` of `x + y` below the line `y = self.attn(x)`, if nothing else reads y."""
    line, function = program.line_of(call), program.function_of(call)
    pair = assigned(line) if line is not None else None
    if pair is None or function is None or pair[1] is not call or not isinstance(pair[0], cst.Name):
        return None
    reads = program.reads(function, pair[0].value)
    total = program.parents[reads[0]] if len(reads) == 1 else None
    adds = isinstance(total, cst.BinaryOperation) and isinstance(total.operator, cst.Add)
    return reads[0] if adds else None


def norm_of(program: Program, expression: cst.BaseExpression, stream: str) -> cst.Call | None:
    """Return the norm `self.ln(x)` or `F.rms_norm(x, (x.size(-1),))` that alone reads the stream."""
    reads = program.reads(expression, stream)
    above = program.parents.get(program.parents[reads[0]]) if reads else None
    if not isinstance(above, cst.Call):
        return None
    if program.qualified(above.func) in FUNCTIONS:
        return above if all(above in program.above(read) for read in reads) else None
    return above if len(reads) == len(above.args) == 1 and _is_norm(program, above) else None


def _is_norm(program: Program, call: cst.Call) -> bool:
    made = {made for norm in norms(program) for made in norm.calls}
    name = self_attribute(call.func)
    owner = program.class_of(call)
    if name is None:
        return "norm" in leaf(call.func).lower() and leaf(call.func) in program.functions
    return owner is not None and any(name == own and value in made for own, _, value in owner.own())


def summed_line(program: Program, addend: Addend) -> tuple[cst.CSTNode, cst.BinaryOperation, str] | None:
    """Return statement, sum and x where a line says `x = x + addend` or `return x + addend`."""
    total, line = program.parents[addend.whole], program.line_of(addend.whole)
    pattern = m.BinaryOperation(left=m.Name(), operator=m.Add())
    if line is None or not isinstance(total, cst.BinaryOperation) or not m.matches(total, pattern):
        return None
    stream, pair = leaf(total.left), assigned(line)
    assigns = pair is not None and pair[1] is total and leaf(pair[0]) == stream
    returns = isinstance(program.parents[total], cst.Return)
    return (line, total, stream) if assigns or returns else None
