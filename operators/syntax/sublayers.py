"""Find the sublayers of a block, `x = x + self.attn(self.ln_1(x))` and its relatives, and their norms."""

from collections.abc import Iterator
from dataclasses import dataclass

import libcst as cst
import libcst.matchers as m

from operators.syntax.attention import bound_names
from operators.syntax.norms import norms
from operators.syntax.program import Class, Program
from operators.syntax.tree import assigned, leaf, self_attribute, walk

_FUNCTIONS = ("torch.nn.functional.layer_norm", "torch.nn.functional.rms_norm")


@dataclass(frozen=True, eq=False)
class Sublayer:
    """Hold one statement that adds a branch to the residual stream, with the norms around its parts.

    `inner` reads the stream, `outer` stands between branch and sum, `around` takes the sum. Where nothing
    normalises the stream, `bare` is the place in the branch that reads it, or `alias` the line that keeps it.
    """

    owner: Class
    label: str  # attn
    total: cst.BinaryOperation | cst.AugAssign
    branch: cst.BaseExpression
    inner: cst.Call | None
    outer: cst.Call | None
    around: cst.Call | None
    bare: cst.Name | None
    line: cst.SimpleStatementLine | None  # `x = ln(x)`, where the norm has a line to itself
    alias: cst.SimpleStatementLine | None  # `residual = x`

    @property
    def placement(self) -> str | None:
        """Return pre, post or sandwich; None for any other arrangement."""
        norms = (self.inner is not None, self.outer is not None, self.around is not None)
        known = {(True, False, False): "pre", (False, False, True): "post", (True, True, False): "sandwich"}
        return known.get(norms)

    @property
    def norm(self) -> cst.Call:
        """Return the norm that every placement has."""
        found = self.inner or self.around
        assert found is not None, "a sublayer has a norm"
        return found


def sublayers(program: Program, owner: Class) -> list[Sublayer]:
    """Return the sublayers that a class runs in `forward`, in order, those of a known placement."""
    forward = owner.methods.get("forward")
    if forward is None:
        return []
    normed = normalising(program, owner)
    found = []
    for line in walk(forward):
        if isinstance(line, cst.SimpleStatementLine):
            candidates = [_read(program, owner, line, normed, *parts) for parts in _sums(line, normed)]
            found += [layer for layer in candidates if layer is not None and layer.placement is not None][:1]
    return found


def normalising(program: Program, owner: Class) -> set[cst.CSTNode]:
    """Return the calls in a class that normalise their first argument: of its layers and of functions."""
    made = {call for norm in norms(program) for call in norm.calls}
    layers = {name for name, _, value in owner.own() if value in made}
    found: set[cst.CSTNode] = set()
    for node in walk(owner.node):
        if isinstance(node, cst.Call) and node.args:
            name = leaf(node.func)
            of_file = (
                isinstance(node.func, cst.Name) and name in program.functions and _is_norm(program, name)
            )
            of_torch = program.qualified(node.func) in _FUNCTIONS
            if self_attribute(node.func) in layers or of_file or of_torch:
                found.add(node)
    return found


def _is_norm(program: Program, name: str) -> bool:
    """Tell whether a function of the file normalises: by its name, or because it hands its work to torch."""
    calls = [node for node in walk(program.functions[name]) if isinstance(node, cst.Call)]
    return "norm" in name.lower() or any(program.qualified(call.func) in _FUNCTIONS for call in calls)


_Parts = tuple[cst.BinaryOperation | cst.AugAssign, str, cst.BaseExpression, cst.Call | None]


def _sums(line: cst.SimpleStatementLine, normed: set[cst.CSTNode]) -> Iterator[_Parts]:
    """Yield each reading of a line as stream + branch: sum, name of the stream, branch, norm of the sum."""
    small = line.body[0]
    if m.matches(small, m.AugAssign(target=m.Name(), operator=m.AddAssign())):
        step = cst.ensure_type(small, cst.AugAssign)
        yield step, leaf(step.target), step.value, None
    pair = assigned(line)
    value = small.value if isinstance(small, cst.Return) else pair[1] if pair is not None else None
    around = value if isinstance(value, cst.Call) and value in normed else None
    total = around.args[0].value if around is not None else value
    if isinstance(total, cst.BinaryOperation) and isinstance(total.operator, cst.Add):
        for stream, branch in ((total.left, total.right), (total.right, total.left)):
            if isinstance(stream, cst.Name):
                yield total, stream.value, branch, around


def _read(
    program: Program,
    owner: Class,
    line: cst.SimpleStatementLine,
    normed: set[cst.CSTNode],
    total: cst.BinaryOperation | cst.AugAssign,
    stream: str,
    branch: cst.BaseExpression,
    around: cst.Call | None,
) -> Sublayer | None:
    """Find the norms of a sum; None if the stream goes into its branch in more ways than one."""
    above = _above(program, line, stream)
    sizes = {node for call in normed for arg in _call(call).args[1:] for node in walk(arg)}
    reads = [read for place in (*above, branch) for read in program.reads(place, stream) if read not in sizes]
    inner, bare, own, alias = _normalised(program, reads, normed), None, None, None
    if inner is None and len(reads) == 1 and isinstance(program.parents[reads[0]], cst.Arg):
        bare = reads[0]
    if not reads:
        alias = _alias(program, line, stream)
        own = _next_norm(program, alias, normed) if alias is not None else None
        pair = assigned(own) if own is not None else None
        inner = cst.ensure_type(pair[1], cst.Call) if pair is not None else None
    if inner is None and bare is None and alias is None:
        return None
    seconds = _seconds(branch, inner, normed)
    if len(seconds) > 1:
        return None
    outer = seconds[0] if seconds else None
    runs = [*walk(branch), *(node for place in reversed(above) for node in walk(place))]
    label = next((_label(node) for node in runs if node not in normed and _label(node)), "")
    return Sublayer(owner, label, total, branch, inner, outer, around, bare, own, alias)


def _seconds(branch: cst.BaseExpression, inner: cst.Call | None, normed: set[cst.CSTNode]) -> list[cst.Call]:
    """Return the norms of what a branch computes: those around its first norm, if that stands inside it."""
    below = walk(branch)
    found = [node for node in below if isinstance(node, cst.Call) and node in normed and node is not inner]
    return [call for call in found if inner in walk(call)] if inner in below else found


def _call(node: cst.CSTNode) -> cst.Call:
    return cst.ensure_type(node, cst.Call)


def _label(node: cst.CSTNode) -> str:
    """Return the name of the layer that a call runs, dropout aside."""
    name = self_attribute(node.func) if isinstance(node, cst.Call) else None
    return name if name is not None and "drop" not in name else ""


def _above(program: Program, line: cst.SimpleStatementLine, stream: str) -> list[cst.CSTNode]:
    """Return the statements above a line, in its block, that work on the same value of the stream."""
    found: list[cst.CSTNode] = []
    for statement in _upwards(program, line):
        if stream in bound_names(statement) or m.findall(statement, m.AugAssign(target=m.Name(stream))):
            break
        found.insert(0, statement)
    return found


def _upwards(program: Program, line: cst.SimpleStatementLine) -> Iterator[cst.CSTNode]:
    """Yield the statements above a line in its block, nearest first."""
    block = program.parents[line]
    if isinstance(block, cst.IndentedBlock):
        yield from reversed(block.body[: block.body.index(line)])


def _normalised(program: Program, reads: list[cst.Name], normed: set[cst.CSTNode]) -> cst.Call | None:
    """Return the one norm whose first argument is the stream, if nothing else reads the stream."""
    for read in reads:
        holder = program.parents[read]
        call = program.parents[holder]
        if isinstance(call, cst.Call) and call in normed and call.args[0] is holder:
            return call if set(reads) <= set(walk(call)) else None
    return None


def _alias(program: Program, line: cst.SimpleStatementLine, stream: str) -> cst.SimpleStatementLine | None:
    """Return `residual = x` above a line that adds to `residual`."""
    for statement in _upwards(program, line):
        pair = assigned(statement)
        if stream in bound_names(statement):
            kept = pair is not None and isinstance(pair[0], cst.Name) and isinstance(pair[1], cst.Name)
            return cst.ensure_type(statement, cst.SimpleStatementLine) if kept else None
    return None


def _next_norm(
    program: Program, alias: cst.SimpleStatementLine, normed: set[cst.CSTNode]
) -> cst.SimpleStatementLine | None:
    """Return `x = ln(x)` right below `residual = x`."""
    block = cst.ensure_type(program.parents[alias], cst.IndentedBlock)
    below = block.body[block.body.index(alias) + 1]
    kept, pair = assigned(alias), assigned(below)
    if kept is None or pair is None or pair[1] not in normed:
        return None
    names = {leaf(kept[1]), leaf(pair[0]), leaf(cst.ensure_type(pair[1], cst.Call).args[0].value)}
    return cst.ensure_type(below, cst.SimpleStatementLine) if len(names) == 1 else None
