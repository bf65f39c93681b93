"""Put in, find, take out and narrow the rotation of queries and keys."""

import ast
import re
from collections.abc import Iterator

import libcst as cst
import libcst.matchers as m

from operators.syntax.attention import Attention, attentions, head_dim
from operators.syntax.experiment import Experiment
from operators.syntax.lengths import length_in, within
from operators.syntax.patch import Patch
from operators.syntax.program import Class, Program
from operators.syntax.reference import reference_code
from operators.syntax.tree import argument, assigned, dotted, leaf, names, self_attribute, text

_WHOLE, _PARTIAL = "rope", "partial_rope"  # modules of foundry/modules
_BASES = ("theta", "base", "rope_theta", "rope_base")
_ANGLES = re.compile(r"rotary|rope|freqs")
_CLASSES = {_WHOLE: "RotaryEmbedding", _PARTIAL: "PartialRotaryEmbedding"}


def rotations(program: Program) -> list[tuple[cst.Call, str]]:
    """Return each call `self.rope(x)` of a rotary layer that the file makes, with the layer's attribute."""
    made = {
        name
        for owner in program.classes.values()
        for name, _, value in owner.own()
        if isinstance(value, cst.Call)
        and leaf(value.func) in program.classes
        and "rot" in text(value.func).lower()
    }
    return [
        (call, leaf(call.func))
        for call in program.all(cst.Call)
        if self_attribute(call.func) in made and len(call.args) == 1 and not _is_table(program, call)
    ]


def _is_table(program: Program, call: cst.Call) -> bool:
    """Tell whether a layer gives cosines and sines, `cos, sin = self.rotary(x)`, and rotates nothing."""
    pair = assigned(program.line_of(call) or call)
    return pair is not None and pair[1] is call and isinstance(pair[0], cst.Tuple)


def rotate(program: Program, patch: Patch, part: int, elsewhere: str | None = None) -> bool:
    """Rotate queries and keys in every attention layer, one of so many parts of each head.

    False if a layer hides its sizes. `elsewhere` is how another class says the number of positions.
    """
    module = _WHOLE if part == 1 else _PARTIAL
    name = _CLASSES[module]
    present = program.classes.get(name)
    taken = name in program.bound() and not (present and _is_reference(program, present, module))
    places = attentions(program)
    sizes = [_sizes(program, attention, part, elsewhere) for attention in places]
    if taken or not places or any(size is None for size in sizes):
        return False
    for attention, size in zip(places, sizes, strict=True):
        owner = attention.owner
        assert owner is not None, "its sizes were found in its class"
        assert owner.init is not None, "its sizes were found in __init__"
        attribute = "rope" if "rope" not in names(owner.node) else "rotary"
        made = patch.copy(module, places[0].owner.node if places[0].owner else owner.node)
        q, k = attention.query, attention.key
        patch.at_end(owner.init, f"self.{attribute} = {made}({size})")
        patch.before(attention.statement, f"{q}, {k} = self.{attribute}({q}), self.{attribute}({k})")
    return True


def _sizes(program: Program, attention: Attention, part: int, elsewhere: str | None) -> str | None:
    """Return the arguments of a rotary layer as the attention layer's `__init__` can say them."""
    owner = attention.owner if attention.tokens_next else None
    width = head_dim(owner) if owner is not None else None
    length = length_in(program, owner, elsewhere) if owner is not None else None
    if owner is None or width is None or length is None:
        return None
    fields = [field for field, _ in program.config_defaults() if field in ("rope_theta", "rotary_base")]
    theta = within(program, owner, f"config.{fields[0]}") if fields else None
    given = [width if part == 1 else f"{width} // {part}", length, *([theta] if theta else [])]
    return ", ".join(given)


def without_rotation(program: Program, experiment: Experiment) -> Patch | None:
    """Take the rotary layers out; None if there are none, or if anything but their calls reads them."""
    patch = Patch(program)
    calls = rotations(program)
    layers = {layer for _, layer in calls}
    reads = [node for node in program.all(cst.Attribute) if leaf(node) in layers]
    made = [line for owner in program.classes.values() for name, line, _ in owner.own() if name in layers]
    if not calls or len(reads) != len(calls) + len(made):
        return None
    for line in dict.fromkeys(program.line_of(call) for call, _ in calls):
        mine = [call for call, _ in calls if program.line_of(call) is line]
        if line is not None and _only_rotates(line, mine):
            patch.remove(line)
        else:
            for call in mine:
                patch.change(call, lambda updated: updated.args[0].value)
    for line in made:
        _drop_field(program, patch, experiment, line)
        pair = assigned(line)
        assert pair is not None, "a rotary layer is assigned"
        assert isinstance(pair[1], cst.Call), "a rotary layer is made by a call"
        patch.helper(leaf(pair[1].func))
        patch.remove(line)
    return patch


def _only_rotates(line: cst.CSTNode, calls: list[cst.Call]) -> bool:
    """Tell whether a line does nothing but `q, k = self.rope(q), self.rope(k)`."""
    pair = assigned(line)
    if pair is None:
        return False
    targets, values = map(_items, pair)
    return len(targets) == len(values) and all(
        value in calls and dotted(target) == dotted(cst.ensure_type(value, cst.Call).args[0].value)
        for target, value in zip(targets, values, strict=True)
    )


def _items(side: cst.BaseExpression) -> list[cst.BaseExpression]:
    return [item.value for item in side.elements] if isinstance(side, cst.Tuple) else [side]


def _drop_field(program: Program, patch: Patch, experiment: Experiment, line: cst.CSTNode) -> None:
    """Remove `rope_theta` from the configuration if this line alone reads it and no experiment gives it."""
    for field, node in program.config_defaults():
        mentions = [name for name in program.all(cst.Name) if name.value == field and name is not node.target]
        rotary = "rope" in field or "theta" in field
        if (
            rotary
            and not experiment.sets(field)
            and mentions
            and all(program.line_of(n) is line for n in mentions)
        ):
            patch.remove(program.parents[node])


def bases(program: Program, experiment: Experiment) -> Iterator[tuple[cst.BaseExpression, str]]:
    """Yield each number that is a base of rotation, theta, and where it stands.

    It is the default of the configuration's field, or else that of an argument that no call gives.
    """
    fields = [(field, node) for field, node in program.config_defaults() if "theta" in field]
    for field, node in fields:
        if node.value is not None and not experiment.sets(field):
            yield node.value, field
    for name, function, caller in _makers_of_angles(program) if not fields else ():
        taken = function.params.params
        for at, param in enumerate(taken):
            if param.default is not None and param.name.value in _BASES:
                position = at - (taken[0].name.value == "self")
                if not any(argument(call, position, param.name.value) for call in _named(program, caller)):
                    yield param.default, f"{name}.{param.name.value}"


def _makers_of_angles(program: Program) -> Iterator[tuple[str, cst.FunctionDef, str]]:
    """Yield what makes angles: how a site calls it, its function, and the name under which it is called."""
    for owner in program.classes.values():
        if owner.init is not None:
            bases = [param.name.value for param in owner.init.params.params]
            if "base" not in bases or "rot" in owner.name.lower():
                yield owner.name, owner.init, owner.name
        for method in owner.methods.values():
            if _ANGLES.search(method.name.value):
                yield f"{owner.name}.{method.name.value}", method, method.name.value
    for function in program.functions.values():
        if _ANGLES.search(function.name.value):
            yield function.name.value, function, function.name.value


def _named(program: Program, name: str) -> list[cst.Call]:
    return [call for call in program.all(cst.Call) if leaf(call.func) == name]


def rotary_part(program: Program) -> int | None:
    """Return 1 if whole heads are rotated, 2 for a half of each …; None if not by a layer of ours."""
    whole, partial = _ours(program, _WHOLE), _ours(program, _PARTIAL)
    if whole is not None and partial is None:
        return 1
    if partial is None or whole is not None:
        return None
    parts = {_divisor(call) for call in _makers(program, partial)}
    return parts.pop() if len(parts) == 1 else None


def with_part(program: Program, patch: Patch, part: int) -> None:
    """Rotate another part of each head, by layers of which `rotary_part` knows the present one."""
    old = rotary_part(program)
    owner = _ours(program, _WHOLE if old == 1 else _PARTIAL)
    assert old is not None, "the present part is known"
    assert owner is not None, "its class was found"
    if (old == 1) != (part == 1):
        theta = _theta(owner)
        name = patch.become(_WHOLE if part == 1 else _PARTIAL, owner)
        patch.change(owner.node, lambda updated: _with_theta(updated, theta))
    for call in _makers(program, owner):
        if (old == 1) != (part == 1):
            patch.replace(call.func, name)
        patch.change(call.args[0], lambda arg: arg.with_changes(value=_narrowed(patch, arg.value, old, part)))


def _narrowed(patch: Patch, width: cst.BaseExpression, old: int, part: int) -> cst.BaseExpression:
    whole = width if old == 1 else cst.ensure_type(width, cst.BinaryOperation).left
    return whole if part == 1 else patch.expression(f"{text(whole)} // {part}")


def _ours(program: Program, module: str) -> Class | None:
    """Return the file's copy of a reference class, if all that the file does with it is make layers of it."""
    name = _CLASSES[module]
    owner = program.classes.get(name)
    if owner is None or not _is_reference(program, owner, module):
        return None
    mentions = [node for node in program.all(cst.Name) if node.value == name and node is not owner.node.name]
    made = _makers(program, owner)
    return owner if made and len(mentions) == len(made) and all(call.args for call in made) else None


def _makers(program: Program, owner: Class) -> list[cst.Call]:
    return [call for call in program.all(cst.Call) if m.matches(call.func, m.Name(owner.name))]


def _divisor(call: cst.Call) -> int | None:
    """Return 4 for a first argument `head_dim // 4`."""
    width = call.args[0].value
    if isinstance(width, cst.BinaryOperation) and isinstance(width.operator, cst.FloorDivide):
        return width.right.evaluated_value if isinstance(width.right, cst.Integer) else None
    return None


def _is_reference(program: Program, owner: Class, module: str) -> bool:
    """Tell whether a class is a reference class but for words, layout and the defaults of its arguments."""
    return _meaning(text(owner.node)) == _meaning(reference_code(module, Patch(program).spell)[1])


def _meaning(code: str) -> str:
    tree = ast.parse(code.strip())
    for node in ast.walk(tree):
        if isinstance(node, ast.arguments):
            node.defaults = []
        elif isinstance(node, (ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            del node.body[0]
    return ast.dump(tree)


def _theta(owner: Class) -> cst.BaseExpression | None:
    params = owner.init.params.params if owner.init is not None else ()
    return next((param.default for param in params if param.name.value == "theta"), None)


def _with_theta(node: cst.CSTNode, theta: cst.BaseExpression | None) -> cst.CSTNode:
    """Give a class's argument theta another default."""
    changed = m.replace(
        node,
        m.Param(name=m.Name("theta")),
        lambda param, _: cst.ensure_type(param, cst.Param).with_changes(default=theta),
    )
    assert isinstance(changed, cst.CSTNode), "nothing is removed"
    return changed
