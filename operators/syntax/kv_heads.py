"""Give keys and values fewer heads than queries have, and say where their number stands."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import libcst as cst
import libcst.matchers as m

from operators.syntax.attention import HEADS, WIDTHS, attentions, size_named
from operators.syntax.experiment import Experiment
from operators.syntax.patch import Patch
from operators.syntax.program import Class, Program
from operators.syntax.projections import KV_HEADS, Projections, attending_calls
from operators.syntax.tree import argument, dotted, leaf, names, number, text, walk


@dataclass(frozen=True, eq=False)
class Counted:
    """Hold the number of key-value heads that a program reads: a field's default or an attribute's value."""

    field: str
    node: cst.BaseExpression | None  # the number, where the program gives it
    value: int | None  # that counts: the experiment's, if it gives one


def counted(program: Program, experiment: Experiment) -> Counted | None:
    """Return the number of key-value heads, if some attention layer reads one."""
    classes = [place.owner for place in attentions(program) if place.owner is not None]
    read = {leaf(node) for owner in classes for node in walk(owner.node) if isinstance(node, cst.Attribute)}
    for field, node in _numbers(program, classes):
        if field in read:
            given = experiment.integer(f"model_args.{field}")
            return Counted(field, node, given if experiment.sets(field) else _whole(node))
    for field in KV_HEADS:
        if field in read and experiment.sets(field):
            return Counted(field, None, experiment.integer(f"model_args.{field}"))
    return None


def _numbers(program: Program, classes: list[Class]) -> Iterator[tuple[str, cst.BaseExpression]]:
    for field, definition in program.config_defaults():
        if field in KV_HEADS and definition.value is not None:
            yield field, definition.value
    for owner in classes:
        yield from ((name, value) for name, _, value in owner.own() if name in KV_HEADS and _whole(value))


def _whole(node: cst.BaseExpression) -> int | None:
    value = number(node)
    return value if isinstance(value, int) else None


def heads_of(program: Program, experiment: Experiment) -> int | None:
    """Return the number of query heads: the experiment's, or the configuration's default."""
    for field in HEADS:
        if experiment.sets(field):
            return experiment.integer(f"model_args.{field}")
    fields = [definition.value for field, definition in program.config_defaults() if field in HEADS]
    return next((_whole(value) for value in fields if value is not None), None)


@dataclass(frozen=True)
class Sizes:
    """Hold how `__init__` says the number of query heads and the model's width."""

    heads: str
    width: str


def sizes(made: Projections) -> Sizes | None:
    """Return these sizes; None if the layers are not as wide as they say."""
    heads, width = size_named(made.init, HEADS), size_named(made.init, WIDTHS)
    if heads is None or width is None or heads.startswith("self.") or width.startswith("self."):
        return None
    return Sizes(heads, width)


def groups(program: Program, made: Projections) -> Sizes | None:
    """Return the sizes that grouped heads can be written with; None where they cannot."""
    said = sizes(made)
    if said is None or {"n_kv_head", "kv_dim"} & names(made.owner.node) or _has_field(program):
        return None
    if made.split is None:
        return said
    times = m.BinaryOperation(operator=m.Multiply())
    three = m.matches(_out(made.layers[0].made), times) and width_of_queries(made) is not None
    return said if three and _kept_width(made) is not None else None


def _has_field(program: Program) -> bool:
    return any(field in KV_HEADS for field, _ in program.config_defaults())


def _out(made: cst.Call) -> cst.BaseExpression:
    arg = argument(made, 1, "out_features")
    return arg.value if arg is not None else cst.Ellipsis()


def width_of_queries(made: Projections) -> str | None:
    """Return the width of q in a fused layer of `3 * width` or `width + 2 * …` outputs."""
    out = _out(made.layers[0].made)
    if not isinstance(out, cst.BinaryOperation):
        return None
    if isinstance(out.operator, cst.Multiply):
        sides = {text(out.left): text(out.right), text(out.right): text(out.left)}
        return sides.get("3")
    return text(out.left) if isinstance(out.operator, cst.Add) else None


def _kept_width(made: Projections) -> str | None:
    """Return how `forward` says the width of q that a split gives: `self.n_embd`."""
    assert made.split is not None, "only a fused layer is split"
    first = made.split.args[0].value
    if leaf(made.split.func) == "split":
        return text(first) if dotted(first) is not None else None
    width = width_of_queries(made)
    own = [name for name, _, value in made.owner.own() if text(value) == width]
    return f"self.{own[0]}" if own else None


def group(program: Program, made: Projections, count: int) -> str:
    """Return the program with `count` key-value heads, which groups of query heads share."""
    patch, said = Patch(program), sizes(made)
    assert said is not None, "offered where the sizes are known"
    source = _field(program, patch, said.heads, count)
    first = min((layer.line for layer in made.layers), key=program.nodes.index)
    patch.before(
        first,
        f"self.n_kv_head = {source}",
        f"self.kv_dim = self.n_kv_head * ({said.width} // {said.heads})",
    )
    for layer in made.layers:
        width = f"{width_of_queries(made)} + 2 * self.kv_dim" if made.fused else "self.kv_dim"
        patch.replace(_out(layer.made), width)
    if made.split is not None:
        _split_unevenly(patch, made)
    for node in made.shared:
        patch.replace(node, "self.n_kv_head")
        relabel(program, patch, node, "nh", "nkv")
    _share(program, patch, made)
    return patch.code()


def relabel(program: Program, patch: Patch, node: cst.CSTNode, old: str, new: str) -> None:
    """Say `(B, nkv, T, hs)` for `(B, nh, T, hs)` in the words behind a line whose shape changes."""
    line = program.line_of(node)
    trailing = line.trailing_whitespace if isinstance(line, cst.SimpleStatementLine) else None
    if line is None or trailing is None or trailing.comment is None:
        return
    words = re.sub(rf"\b{old}\b", new, trailing.comment.value)
    comment = trailing.comment.with_changes(value=words)
    said = trailing.with_changes(comment=comment)
    patch.change(line, lambda updated: updated.with_changes(trailing_whitespace=said))


def _field(program: Program, patch: Patch, heads: str, count: int) -> str:
    """Return what `__init__` calls the number: a new field beside that of the query heads, or the number."""
    config, _, name = heads.rpartition(".")
    for field, definition in program.config_defaults():
        if config and field == name:
            line = program.line_of(definition)
            assert line is not None, "a field is part of a statement"
            patch.after(line, f"n_kv_head: int = {count}  # of keys and values, must divide {name}")
            return f"{config}.n_kv_head"
    return str(count)


def _split_unevenly(patch: Patch, made: Projections) -> None:
    assert made.split is not None, "only a fused layer is split"
    kept = _kept_width(made)
    parts = [kept if name == made.attention.query else "self.kv_dim" for name in made.order]
    patch.replace(made.split.args[0].value, f"({', '.join(map(str, parts))})")
    if leaf(made.split.func) == "chunk":
        patch.rename(cst.ensure_type(made.split.func, cst.Attribute), "split")


def _share(program: Program, patch: Patch, made: Projections) -> None:
    """Let groups of query heads share keys and values: by the fused kernel, or by repeating them."""
    calls = attending_calls(program, made.attention.function)
    fused = [call for call in calls if leaf(call.func) == "scaled_dot_product_attention"]
    spelled_out = any(
        isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.MatrixMultiply)
        for node in walk(made.attention.function)
    )
    if calls and not spelled_out:
        (more,) = cst.ensure_type(patch.expression("f(enable_gqa=True)"), cst.Call).args
        for call in fused:
            if all(arg.keyword is None or arg.keyword.value != "enable_gqa" for arg in call.args):
                patch.change(call, lambda updated: _with_argument(updated, more))
        return
    ratio = f"{made.heads} // self.n_kv_head"
    keys, values = made.attention.key, made.value
    lines = [f"{name} = {name}.repeat_interleave({ratio}, dim=1)" for name in (keys, values)]
    patch.before(made.attention.statement, *lines)


def _with_argument(call: cst.Call, more: cst.Arg) -> cst.Call:
    comma = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    return call.with_changes(args=[*call.args[:-1], call.args[-1].with_changes(comma=comma), more])
