"""Find where queries meet keys, and say what an attention layer knows of its sizes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import libcst as cst
import libcst.matchers as m

from operators.syntax.program import Class, Program
from operators.syntax.tree import argument, leaf, names, self_attribute, text, walk

HEAD_DIMS = ("head_dim", "head_size", "d_head", "dim_head", "head_width", "d_k", "attention_head_size")
HEADS = ("n_head", "n_heads", "num_heads", "nhead", "num_attention_heads", "heads", "nh")
WIDTHS = ("n_embd", "n_embed", "d_model", "embed_dim", "emb_dim", "hidden_size", "dim", "width", "embd_dim")

_HEADS_FIRST = m.Call(
    func=m.Attribute(attr=m.Name("transpose")), args=[m.Arg(m.Integer("1")), m.Arg(m.Integer("2"))]
)

_EINSUM = re.compile(r"(\w{2,}),(\w{2,})->(\w+)")

Statement = cst.SimpleStatementLine | cst.BaseCompoundStatement


@dataclass(frozen=True)
class Attention:
    """Hold one place where attention happens: the names of q and k, and the statement to work above.

    Heads lie along the last dimension of both; the tokens along the one before it, if `tokens_next` says so.
    """

    function: cst.FunctionDef
    owner: Class | None
    statement: Statement
    query: str
    key: str
    tokens_next: bool


@lru_cache(maxsize=32)
def attentions(program: Program) -> tuple[Attention, ...]:
    """Return one place per function, in order."""
    found: dict[cst.FunctionDef, Attention] = {}
    for meeting in _meetings(program):
        function, names_met = program.function_of(meeting.node), {meeting.query, meeting.key}
        if function is None or function in found or not isinstance(function.body, cst.IndentedBlock):
            continue
        given = {param.name.value for param in function.params.params}
        if names_met <= given | bound_names(function):
            found[function] = Attention(
                function,
                program.class_of(meeting.node),
                _statement(program, meeting, function),
                meeting.query,
                meeting.key,
                meeting.tokens_next,
            )
    return tuple(found.values())


@dataclass(frozen=True)
class _Meeting:
    """Hold an expression in which q and k meet; the value's name where it stands there too."""

    node: cst.CSTNode
    query: str
    key: str
    value: str = ""
    tokens_next: bool = True


def _meetings(program: Program) -> Iterator[_Meeting]:
    """Yield each `scaled_dot_product_attention(q, k, v)`, each `q @ k.transpose(…)` and its einsum, of names.

    Where a layer of the file does that for others, the call of the layer counts and not what it does inside.
    """
    delegated = kernel_calls(program)
    kernels = set(delegated.values())
    for node in program.nodes:
        if kernels and program.class_of(node) in kernels:
            continue
        fused = isinstance(node, cst.Call) and leaf(node.func) == "scaled_dot_product_attention"
        if isinstance(node, cst.Call) and (fused or node in delegated):
            meeting = _fused(node)
        elif isinstance(node, cst.Call) and program.qualified(node.func) == "torch.einsum":
            meeting = _contraction(node)
        elif isinstance(node, cst.Call) and program.qualified(node.func) == "torch.matmul":
            meeting = _product(node, *(arg.value for arg in node.args)) if len(node.args) == 2 else None
        elif isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.MatrixMultiply):
            meeting = _product(node, node.left, node.right)
        else:
            continue
        if meeting is not None and meeting.query and meeting.key:
            yield meeting


def kernel_calls(program: Program) -> dict[cst.Call, Class]:
    """Return each `self.attend(q, k, v)` of a layer of the file that makes no q, k and v of its own."""
    kernels = {name: owner for name, owner in program.classes.items() if _is_kernel(owner)}
    if not kernels:
        return {}
    made = {
        (owner, name): kernels[leaf(value.func)]
        for owner in program.classes.values()
        for name, _, value in owner.own()
        if isinstance(value, cst.Call) and leaf(value.func) in kernels
    }
    found = {}
    for call in program.all(cst.Call):
        attribute, owner = self_attribute(call.func), program.class_of(call)
        if attribute is not None and owner is not None and len(call.args) >= 3:
            kernel = made.get((owner, attribute))
            if kernel is not None:
                found[call] = kernel
    return found


def _is_kernel(owner: Class) -> bool:
    forward = owner.methods.get("forward")
    taken = [param.name.value for param in forward.params.params[1:4]] if forward is not None else []
    return taken in (["q", "k", "v"], ["query", "key", "value"]) and "Linear" not in names(owner.node)


def _fused(call: cst.Call) -> _Meeting | None:
    """Read a call of the fused kernel; `q.transpose(1, 2)` means that the tokens lie elsewhere in q."""
    given = [argument(call, at, name) for at, name in enumerate(("query", "key", "value"))]
    values = [arg.value if arg is not None else cst.Ellipsis() for arg in given]
    moved = all(m.matches(value, _HEADS_FIRST) for value in values)
    query, key, value = (_variable(_transposed(value) if moved else value) for value in values)
    return _Meeting(call, query, key, value, not moved)


def _product(node: cst.CSTNode, left: cst.BaseExpression, right: cst.BaseExpression) -> _Meeting:
    return _Meeting(node, _variable(left), _variable(_transposed(right)))


def _contraction(call: cst.Call) -> _Meeting | None:
    """Read `torch.einsum("bqhf,bkhf->bhqk", q, k)`: tokens meet, the last dimension of both is summed."""
    spec = call.args[0].value if len(call.args) == 3 else None
    said = spec.evaluated_value if isinstance(spec, cst.SimpleString) else None
    read = _EINSUM.fullmatch(said.replace(" ", "")) if isinstance(said, str) else None
    if read is None:
        return None
    left, right, out = read.groups()
    mine, theirs = set(left) - set(right), set(right) - set(left)
    summed = (set(left) & set(right)) - set(out)
    scores = len(mine) == len(theirs) == 1 and mine | theirs <= set(out) and not set(out) - set(left + right)
    if not scores or summed != {left[-1]} or left[-1] != right[-1]:
        return None
    query, key = (_variable(arg.value) for arg in call.args[1:])
    return _Meeting(call, query, key, tokens_next=left[-2] in mine and right[-2] in theirs)


def _variable(node: cst.BaseExpression) -> str:
    return node.value if isinstance(node, cst.Name) else ""


def _transposed(node: cst.BaseExpression) -> cst.BaseExpression:
    """Return `k` of `k.transpose(-2, -1)` or `k.mT`, and otherwise no name."""
    if isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute) and leaf(node.func) == "transpose":
        return node.func.value
    if isinstance(node, cst.Attribute) and node.attr.value == "mT":
        return node.value
    return cst.Ellipsis()


def bound_names(root: cst.CSTNode) -> set[str]:
    """Return the names that assignments below a node bind."""
    found: set[str] = set()
    for node in walk(root):
        if isinstance(node, cst.AssignTarget):
            found |= {inner.value for inner in walk(node.target) if isinstance(inner, cst.Name)}
    return found


def _statement(program: Program, meeting: _Meeting, function: cst.FunctionDef) -> Statement:
    """Return the statement to work above: right below those that make q, k and v.

    Where one branch uses a fused kernel and the other spells attention out, it is above the `if` around both.
    """
    made = {meeting.query, meeting.key}
    chosen = program.line_of(meeting.node)
    assert chosen is not None, "an expression in a function is part of a statement"
    for parent in program.above(chosen):
        if isinstance(parent, (cst.If, cst.With)) and not made & bound_names(parent):
            chosen = parent
        elif isinstance(parent, (cst.BaseCompoundStatement)):
            break
    block = program.parents[chosen]
    if not meeting.value or not isinstance(block, cst.IndentedBlock):
        return chosen
    for above in reversed(block.body[: block.body.index(chosen)]):
        if (made | {meeting.value}) & bound_names(above) or not isinstance(above, cst.SimpleStatementLine):
            break
        chosen = above
    return chosen


def head_dim(owner: Class) -> str | None:
    """Return an expression for the width of a head that holds at the end of `__init__`; None if unknown."""
    if owner.init is None:
        return None
    own = {name for name, _, _ in owner.own()}
    for name in HEAD_DIMS:
        if name in own:
            return f"self.{name}"
        if name in owner.parameters():
            return name
    heads, width = size_named(owner.init, HEADS), size_named(owner.init, WIDTHS)
    return f"{width} // {heads}" if heads and width else None


def size_named(function: cst.FunctionDef, known: tuple[str, ...]) -> str | None:
    """Return how a function spells a size with one of these names, arguments before attributes of self."""
    chains = [
        node for node in walk(function) if isinstance(node, (cst.Name, cst.Attribute)) and leaf(node) in known
    ]
    given = {param.name.value for param in function.params.params}
    for node in chains:
        if text(node).partition(".")[0] in given - {"self"}:
            return text(node)
    return next((text(node) for node in chains if self_attribute(node)), None)


def mentions(statement: cst.CSTNode, *words: str) -> bool:
    """Tell whether any name in a statement contains one of these words."""
    return any(word in name.lower() for name in names(statement) for word in words)
