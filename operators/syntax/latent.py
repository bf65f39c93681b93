"""Make keys and values from a latent, in the place of the layers that made them."""

from functools import partial

import libcst as cst
import libcst.matchers as m

from operators.syntax.attention import head_dim
from operators.syntax.experiment import Experiment
from operators.syntax.kv_heads import relabel, sizes, width_of_queries
from operators.syntax.patch import Patch
from operators.syntax.program import Program
from operators.syntax.projections import KV_HEADS, Projections
from operators.syntax.reference import reference_code
from operators.syntax.rotary import rotary_part, rotations, with_part
from operators.syntax.tree import argument, assigned, dotted, leaf, names, self_attribute, text, walk

_LONGEST_LINE = 102  # without its indentation
_NAMES = ("kv", "latent_kv")
_MINE = (*KV_HEADS, "kv_dim")  # what only the layers taken out, and what goes with them, may read


def latent(program: Program, experiment: Experiment, made: Projections) -> Patch | None:
    """Return the change; None where some part of the attention layer would be lost with the old layers."""
    said, width = sizes(made), head_dim(made.owner)
    taken = set(_NAMES) <= names(made.owner.node) or "LatentKeyValue" in program.bound()
    streams = {dotted(layer.run.args[0].value) for layer in made.layers}
    if said is None or width is None or taken or len(streams) != 1 or None in streams:
        return None
    patch = Patch(program)
    rope = _rotate_part(program, patch, made, width)
    if rope is None or not _without_groups(program, patch, experiment, made):
        return None
    attribute = next(name for name in _NAMES if name not in names(made.owner.node))
    copied = patch.copy("latent_attention", made.owner.node)
    given = [said.width, said.heads, f"latent={said.width} // 4", *rope]
    line = f"self.{attribute} = {copied}({', '.join(given)})"
    if len(line) > _LONGEST_LINE:
        line = f"self.{attribute} = {copied}(\n    " + ",\n    ".join(given) + ",\n)"
    patch.at_end(made.init, line)
    return patch if _project(program, patch, made, f"self.{attribute}({streams.pop()})") else None


def _project(program: Program, patch: Patch, made: Projections, latent: str) -> bool:
    """Take q alone from a fused layer, or take the layers of k and v out."""
    line = program.line_of(made.layers[-1].run)
    assert line is not None, "a projection is part of a statement"
    query, key, value = made.attention.query, made.attention.key, made.value
    if made.split is not None:
        width, pair = width_of_queries(made), assigned(line)
        if width is None or pair is None or pair[1] is not made.split:
            return False
        out = argument(made.layers[0].made, 1, "out_features")
        assert out is not None, "its width was read"
        patch.replace(out.value, width)
        patch.change(made.layers[0].line, _without_comment)
        patch.replace(pair[0], query)
        patch.replace(made.split, text(made.layers[0].run))
        patch.after(line, f"{key}, {value} = {latent}")
        return True
    lines = [program.line_of(layer.run) for layer in made.layers]
    patch.before(min((line for line in lines if line), key=program.nodes.index), f"{key}, {value} = {latent}")
    for layer, name in zip(made.layers, (key, value), strict=True):
        patch.replace(layer.run, name)
        patch.remove(layer.line)
    return True


def _without_comment(line: cst.SimpleStatementLine) -> cst.SimpleStatementLine:
    """Drop the words behind a line if they name keys or values, which it no longer makes."""
    comment = line.trailing_whitespace.comment
    if comment is None or not any(word in comment.value.lower() for word in ("key", "value", "qkv", "kv")):
        return line
    plain = line.trailing_whitespace.with_changes(comment=None, whitespace=cst.SimpleWhitespace(""))
    return line.with_changes(trailing_whitespace=plain)


def _rotate_part(program: Program, patch: Patch, made: Projections, width: str) -> list[str] | None:
    """Rotate half of each head at most; return the argument that says how much; None if that is unclear."""
    classes = {program.class_of(call) for call, _ in rotations(program)}
    if not classes:
        return []
    part = rotary_part(program)
    if classes != {made.owner} or part is None:
        return None
    if part == 1:
        if reference_code("partial_rope", patch.spell)[0] in program.bound():
            return None
        with_part(program, patch, 2)
    return [f"shared_dim={width} // {max(part, 2)}"]


def _without_groups(program: Program, patch: Patch, experiment: Experiment, made: Projections) -> bool:
    """Take out what grouped key-value heads needed; False if something else reads it."""
    gone: set[cst.CSTNode] = set()
    for line in walk(made.owner.node):
        if isinstance(line, cst.SimpleStatementLine) and _serves_groups(line, made):
            patch.remove(line)
            gone |= set(walk(line))
    for node in made.shared:
        if text(node) != made.heads:
            patch.replace(node, made.heads)
            relabel(program, patch, node, "nkv", "nh")
    replaced = {inner for layer in made.layers for inner in walk(layer.line)}
    replaced |= {inner for node in (*made.shared, made.split) if node is not None for inner in walk(node)}
    reads = [node for node in walk(made.owner.node) if leaf(node) in _MINE]
    if any(node not in gone | replaced for node in reads):
        return False
    _drop_arguments(patch, made)
    _drop_field(program, patch, experiment, gone | replaced)
    return True


def _serves_groups(line: cst.SimpleStatementLine, made: Projections) -> bool:
    """Tell whether a line only defines or checks the number of key-value heads, or repeats keys or values."""
    pair = assigned(line)
    if pair is None:
        return m.matches(line, m.SimpleStatementLine(body=[m.Assert()])) and bool(set(_MINE) & names(line))
    if self_attribute(pair[0]) in _MINE:
        return True
    repeated = m.matches(pair[1], m.Call(func=m.Attribute(attr=m.Name("repeat_interleave"))))
    return repeated and dotted(pair[0]) in (made.attention.key, made.value)


def _drop_arguments(patch: Patch, made: Projections) -> None:
    for call in walk(made.attention.function):
        if isinstance(call, cst.Call) and leaf(call.func) == "scaled_dot_product_attention":
            kept = [arg for arg in call.args if arg.keyword is None or arg.keyword.value != "enable_gqa"]
            if len(kept) < len(call.args):
                kept[-1] = kept[-1].with_changes(comma=call.args[-1].comma)
                patch.change(call, partial(_with_arguments, args=kept))


def _with_arguments(call: cst.Call, args: list[cst.Arg]) -> cst.Call:
    return call.with_changes(args=args)


def _drop_field(program: Program, patch: Patch, experiment: Experiment, gone: set[cst.CSTNode]) -> None:
    """Remove the field of the configuration if nothing else reads it and no experiment gives it."""
    for field, node in program.config_defaults():
        if field in KV_HEADS and not experiment.sets(field):
            reads = [
                name for name in program.all(cst.Name) if name.value == field and name is not node.target
            ]
            if all(name in gone for name in reads):
                patch.remove(program.parents[node])
