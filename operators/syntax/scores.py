"""Put in, find and take out layers whose result, of shape (1, nh, T, T), is added to attention scores."""

from dataclasses import dataclass

import libcst as cst
import libcst.matchers as m

from operators.syntax.attention import HEADS, Attention, attentions, size_named
from operators.syntax.lengths import length_in
from operators.syntax.masks import is_boolean
from operators.syntax.patch import Patch
from operators.syntax.positions import drop_term
from operators.syntax.program import Class, Program
from operators.syntax.tree import argument, assigned, leaf, names, self_attribute, text, walk

_SOFTMAX = ("torch.nn.functional.softmax", "torch.softmax")
_MASK, _CAUSAL = "attn_mask", "is_causal"
_CLASSES = {"alibi": "ALiBi", "relative_bias": "RelativeBias"}  # of foundry/modules
_NEVER = 'float("-inf")'


@dataclass(frozen=True)
class Bias:
    """Hold a layer that makes a bias: what it is called, the line that makes it, the calls that use it."""

    owner: Class
    name: str
    line: cst.SimpleStatementLine
    maker: str
    calls: list[cst.Call]


def biases(program: Program, *words: str) -> list[Bias]:
    """Return the layers of classes of the file whose names contain all these words."""
    found = []
    for owner in program.classes.values():
        for name, line, value in owner.own():
            maker = leaf(value.func) if isinstance(value, cst.Call) else ""
            if maker in program.classes and all(word in maker.lower() for word in words):
                calls = [
                    node
                    for node in walk(owner.node)
                    if isinstance(node, cst.Call) and self_attribute(node.func) == name
                ]
                found.append(Bias(owner, name, line, maker, calls))
    return found


def put_bias(program: Program, patch: Patch, module: str, name: str, elsewhere: str | None = None) -> bool:
    """Add a layer of `foundry/modules/<module>.py` to the scores of every attention layer, as `self.<name>`.

    False if one of them hides its sizes, or where its scores are. `elsewhere` is how another class says the
    number of positions, where that is known.
    """
    places = attentions(program)
    if not places or _CLASSES[module] in program.bound():
        return False
    for attention in places:
        owner = attention.owner
        if owner is None or owner.init is None or name in names(owner.node):
            return False
        heads, length = size_named(owner.init, HEADS), length_in(program, owner, elsewhere)
        if not (heads and length and _add_to_scores(program, patch, attention, f"self.{name}")):
            return False
        made = patch.copy(module, places[0].owner.node if places[0].owner is not None else owner.node)
        patch.at_end(owner.init, f"self.{name} = {made}({heads}, {length})")
    return True


def _add_to_scores(program: Program, patch: Patch, attention: Attention, layer: str) -> bool:
    """Add the layer's result wherever a function makes weights of scores; False if that is unclear."""
    nodes = [node for node in walk(attention.function) if isinstance(node, cst.Call)]
    fused = [node for node in nodes if leaf(node.func) == "scaled_dot_product_attention"]
    spelled = _softmaxes(program, attention)
    if spelled is None or not fused + spelled:
        return False
    for scores in spelled:
        bias = f"{layer}({attention.query})"
        binds = isinstance(scores, (cst.Name, cst.Attribute, cst.Call, cst.Subscript, cst.BinaryOperation))
        total = f"{text(scores)} + {bias}" if binds else f"({text(scores)}) + {bias}"
        method = isinstance(program.parents[scores], cst.Attribute)  # scores.softmax(-1)
        patch.replace(scores, f"({total})" if method else total)
    return all(_add_to_mask(program, patch, call, layer) for call in fused)


def _add_to_mask(program: Program, patch: Patch, call: cst.Call, layer: str) -> bool:
    """Put a bias in the place of `is_causal=True`, or add it to the mask that a fused call has."""
    query, mask, causal = (argument(call, at, name) for at, name in ((0, "query"), (3, _MASK), (5, _CAUSAL)))
    if query is None or any(arg.star for arg in call.args):
        return False
    bias = f"{layer}({text(query.value)})"
    given = mask is not None and text(mask.value) != "None"
    if causal is None or text(causal.value) == "False":
        boolean = is_boolean(program, mask.value) if given and mask is not None else None
        if mask is None or boolean is None:
            return False
        choice = f"({text(mask.value)}, {bias}, {_NEVER})"
        total = patch.spell("torch.where") + choice if boolean else f"{text(mask.value)} + {bias}"
        patch.replace(mask.value, total)
    elif text(causal.value) != "True" or causal.keyword is None or given:
        return False
    elif mask is None:
        patch.change(
            causal, lambda arg: arg.with_changes(keyword=cst.Name(_MASK), value=patch.expression(bias))
        )
    else:
        patch.replace(mask.value, bias)
        patch.change(call, lambda updated: _without_argument(updated, _CAUSAL))
    return True


def _without_argument(call: cst.Call, keyword: str) -> cst.Call:
    args = list(call.args)
    at = next(at for at, arg in enumerate(args) if arg.keyword is not None and arg.keyword.value == keyword)
    if at == len(args) - 1:
        args[at - 1] = args[at - 1].with_changes(comma=args[at].comma)
    del args[at]
    return call.with_changes(args=args)


def _softmaxes(program: Program, attention: Attention) -> list[cst.BaseExpression] | None:
    """Return each expression of scores that becomes weights; None if scores become something else."""
    scores: set[str] = set()
    found: list[cst.BaseExpression] = []
    products = 0
    for line in walk(attention.function):
        if not isinstance(line, cst.SimpleStatementLine):
            continue
        products += sum(_is_product(program, node, attention) for node in walk(line))
        weighed = [_weighed(program, node) for node in walk(line) if isinstance(node, cst.Call)]
        mine = [node for node in weighed if node is not None and _holds(program, node, attention, scores)]
        found += mine
        pair = assigned(line)
        if pair is not None and isinstance(pair[0], cst.Name):
            kept = not mine and _holds(program, pair[1], attention, scores)
            scores = scores | {pair[0].value} if kept else scores - {pair[0].value}
    return found if bool(found) == bool(products) else None


def _is_product(program: Program, node: cst.CSTNode, attention: Attention) -> bool:
    """Tell whether a node multiplies queries by keys."""
    spelled = isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.MatrixMultiply)
    called = isinstance(node, cst.Call) and program.qualified(node.func) == "torch.matmul"
    return (spelled or called) and {attention.query, attention.key} <= names(node)


def _holds(program: Program, node: cst.CSTNode, attention: Attention, scores: set[str]) -> bool:
    return any(
        _is_product(program, inner, attention) or (isinstance(inner, cst.Name) and inner.value in scores)
        for inner in walk(node)
    )


def _weighed(program: Program, call: cst.Call) -> cst.BaseExpression | None:
    """Return what a call takes the softmax of."""
    first = argument(call, 0, "input")
    layer = self_attribute(call.func)
    if program.qualified(call.func) in _SOFTMAX or (layer is not None and "softmax" in layer):
        return first.value if first is not None else None
    if m.matches(call.func, m.Attribute(attr=m.Name("softmax"))):
        return cst.ensure_type(call.func, cst.Attribute).value
    return None


def take_out_bias(program: Program, patch: Patch, bias: Bias) -> bool:
    """Remove a bias; False if something other than scores and masks has a use for it."""
    mentions = [node for node in program.all(cst.Attribute) if leaf(node) == bias.name]
    reads = [node for node in mentions if bias.line not in program.above(node)]
    if len(reads) != len(bias.calls) or not all(_take_from(program, patch, call) for call in bias.calls):
        return False
    patch.remove(bias.line)
    patch.helper(bias.maker)
    return True


def _take_from(program: Program, patch: Patch, use: cst.Call) -> bool:
    """Undo what `_add_to_scores` does."""
    holder = program.parents[use]
    call = program.parents[holder] if isinstance(holder, cst.Arg) else None
    if m.matches(holder, m.Arg(keyword=m.Name(_MASK))):
        patch.change(holder, lambda arg: arg.with_changes(keyword=cst.Name(_CAUSAL), value=cst.Name("True")))
        return True
    if isinstance(call, cst.Call) and program.qualified(call.func) == "torch.where" and len(call.args) == 3:
        patch.change(call, lambda updated: updated.args[0].value)
        return text(call.args[2].value) == _NEVER and call.args[1] is holder
    return drop_term(program, patch, use)
