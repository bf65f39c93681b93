"""How queries, keys and values are made from the stream: one fused linear layer, or one for each."""

from dataclasses import dataclass

import libcst as cst
import libcst.matchers as m

from operators.syntax.attention import HEADS, Attention, kernel_calls
from operators.syntax.program import Class, Program
from operators.syntax.tree import argument, assigned, leaf, self_attribute, text, walk

KV_HEADS = ("n_kv_head", "n_kv_heads", "num_key_value_heads", "num_kv_heads", "n_head_kv", "n_query_groups")


@dataclass(frozen=True, eq=False)
class Layer:
    """Hold a linear layer: its attribute, the line and call that make it, and the one call that runs it."""

    attribute: str
    line: cst.SimpleStatementLine
    made: cst.Call
    run: cst.Call


@dataclass(frozen=True, eq=False)
class Projections:
    """Hold what makes q, k and v of one attention layer."""

    attention: Attention
    owner: Class
    init: cst.FunctionDef
    value: str
    layers: list[Layer]  # the one for all three, or those of keys and of values
    split: cst.Call | None  # of the fused layer: self.c_attn(x).split(self.n_embd, dim=2)
    order: list[str]  # of the split: q, k, v
    heads: str  # how `forward` says the number of query heads
    shared: list[cst.BaseExpression]  # where views of k and v say their number of heads

    @property
    def fused(self) -> bool:
        return self.split is not None


def projections(program: Program, attention: Attention) -> Projections | None:
    """Return how an attention layer makes q, k and v; None where that is written in another way."""
    owner, function = attention.owner, attention.function
    if owner is None or owner.init is None or not attention.tokens_next:
        return None
    value = _value(program, attention)
    if value is None:
        return None
    made = _split(program, owner, function, {attention.query, attention.key, value})
    split, order, layers = made if made is not None else (None, [], [])
    if split is None:
        pair = [_projected(program, owner, function, name) for name in (attention.key, value)]
        layers = [layer for layer in pair if layer is not None]
        if len(layers) != 2 or layers[0].attribute == layers[1].attribute:
            return None
    roots = [layer.run for layer in layers] if split is None else []
    key, values = (
        _views(function, name, roots[at : at + 1]) for at, name in enumerate((attention.key, value))
    )
    runs = _query_roots(function, attention.query)
    query = _views(function, attention.query, runs)
    if not (key and values and query):
        return None
    heads = [_heads(view) for view in (*query, *key, *values)]
    said = [text(node) for node in heads[: len(query)] if node is not None]
    if any(node is None for node in heads) or len(set(said)) != 1:
        return None
    shared = [node for node in heads[len(query) :] if node is not None]
    return Projections(attention, owner, owner.init, value, layers, split, order, said[0], shared)


def attending_calls(program: Program, function: cst.FunctionDef) -> list[cst.Call]:
    """Return the calls of a fused kernel, or of a layer that attends, in a function."""
    delegated = kernel_calls(program)
    return [
        node
        for node in walk(function)
        if isinstance(node, cst.Call)
        and (leaf(node.func) == "scaled_dot_product_attention" or node in delegated)
    ]


def _value(program: Program, attention: Attention) -> str | None:
    """Return the name of the values: the third that meet, or the right side of the last product."""
    for call in attending_calls(program, attention.function):
        third = argument(call, 2, "value", "v")
        if third is not None and isinstance(third.value, cst.Name):
            return third.value.value
    products = [
        node.right
        for node in walk(attention.function)
        if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.MatrixMultiply)
    ]
    return leaf(products[-1]) or None if products else None


def _layer(program: Program, owner: Class, run: cst.BaseExpression) -> Layer | None:
    """Return the layer that a call `self.c_attn(x)` runs, if that is its only mention but for its making."""
    name = self_attribute(run.func) if isinstance(run, cst.Call) and len(run.args) == 1 else None
    own = [(line, value) for found, line, value in owner.own() if found == name]
    mentions = [
        node for node in walk(owner.node) if isinstance(node, cst.Attribute) and self_attribute(node) == name
    ]
    if name is None or len(own) != 1 or len(mentions) != 2:
        return None
    line, value = own[0]
    linear = isinstance(value, cst.Call) and "linear" in leaf(value.func).lower() and len(value.args) >= 2
    if not linear:
        return None
    return Layer(name, line, cst.ensure_type(value, cst.Call), cst.ensure_type(run, cst.Call))


_SPLIT = m.Call(func=m.Attribute(attr=m.Name("split") | m.Name("chunk")))


def _split(
    program: Program, owner: Class, function: cst.FunctionDef, wanted: set[str]
) -> tuple[cst.Call, list[str], list[Layer]] | None:
    for node in walk(function):
        pair = assigned(node)
        if pair is None or not isinstance(pair[0], cst.Tuple) or not m.matches(pair[1], _SPLIT):
            continue
        order = [leaf(element.value) for element in pair[0].elements]
        call = cst.ensure_type(pair[1], cst.Call)
        receiver = cst.ensure_type(call.func, cst.Attribute).value
        layer = _layer(program, owner, receiver)
        if layer is not None and len(order) == 3 and set(order) == wanted and call.args:
            return call, order, [layer]
    return None


def _projected(program: Program, owner: Class, function: cst.FunctionDef, name: str) -> Layer | None:
    """Return the layer whose output, seen as heads, is first called by this name."""
    for run in _query_roots(function, name):
        return _layer(program, owner, run)
    return None


def _query_roots(function: cst.FunctionDef, name: str) -> list[cst.Call]:
    """Return the call `self.q_proj(x)` that `q = self.q_proj(x).view(…)` begins with."""
    for node in walk(function):
        pair = assigned(node)
        if pair is not None and isinstance(pair[0], cst.Name) and pair[0].value == name:
            root = _root(pair[1])
            if isinstance(root, cst.Call):
                return [root]
    return []


def _root(node: cst.CSTNode) -> cst.CSTNode:
    """Return what a chain of methods begins with: `self.q(x)` of `self.q(x).view(…).transpose(1, 2)`."""
    while True:
        if isinstance(node, cst.Call) and self_attribute(node.func) is not None:
            return node
        if isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute):
            node = node.func.value
        else:
            return node


def _views(function: cst.FunctionDef, name: str, roots: list[cst.Call]) -> list[cst.Call]:
    """Return the calls that see this variable, or what these calls give, as heads."""
    return [
        node
        for node in walk(function)
        if isinstance(node, cst.Call)
        and isinstance(node.func, cst.Attribute)
        and leaf(node.func) in ("view", "reshape")
        and len(node.args) == 4
        and ((root := _root(node.func.value)) in roots or m.matches(root, m.Name(name)))
    ]


def _heads(view: cst.Call) -> cst.BaseExpression | None:
    """Return where a view to (B, T, heads, width) says the number of heads."""
    node = view.args[2].value
    return node if leaf(node) in (*HEADS, *KV_HEADS) else None
