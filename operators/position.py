"""Change how the model knows where a token stands: learned, rotary, or not at all.

Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding" (2021); Kazemnejad et al., "The
Impact of Positional Encoding on Length Generalization in Transformers" (2023) for no positions at all.
"""

from collections.abc import Iterator
from functools import partial

import libcst as cst

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit
from operators.syntax.attention import Attention, attentions, head_dim
from operators.syntax.experiment import Experiment, float_text
from operators.syntax.patch import Patch
from operators.syntax.positions import Learned, learned_positions, rotations, take_out
from operators.syntax.program import Class, Program
from operators.syntax.tree import assigned, dotted, leaf, names, number, text, walk

_THETAS = (100.0, 1000.0, 10000.0, 100000.0)
_LENGTHS = ("block_size", "context_length", "max_seq_len", "max_position_embeddings", "n_positions", "n_ctx")


class Position(ModelOperator):
    name = "position"
    family = "knowledge"
    summary = "Replace learned positions by rotary ones, take positions away, or change the rotary base."
    preserves = frozenset({"shapes"})
    examples = (
        Example(
            """\
import torch
import torch.nn as nn

class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.block_size, config.n_embd)

    def forward(self, idx):
        pos = torch.arange(idx.size(1))
        return self.wte(idx) + self.wpe(pos)  # (B, T, n_embd)
""",
            """\
import torch.nn as nn

class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)

    def forward(self, idx):
        return self.wte(idx)  # (B, T, n_embd)
""",
            "nope",
        ),
        Example(
            "import torch.nn as nn\n\ndef table(config):\n    return nn.Embedding(config.vocab_size, 8)\n"
        ),
    )

    def words(self, edit: Edit) -> str:
        old = place(edit.site)[0]
        if edit.variant.startswith("theta-"):
            return f"RoPE theta → {edit.variant[6:]}"
        return sentence(f"position {old} → {edit.variant}")

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        learned = learned_positions(program)
        if learned is not None:
            yield from _from_learned(program, learned)
        elif rotations(program):
            patch = _without_rotation(program, experiment)
            if patch is not None:
                yield Offer("nope", "rope", patch.code)
        elif not _knows_positions(program):
            length = _named_length(program)
            patch = Patch(program)
            if length is not None and _rotate(program, patch, length):
                yield Offer("rope", "nope", patch.code)
        yield from _thetas(program, experiment)


def _from_learned(program: Program, learned: Learned) -> Iterator[Offer]:
    plain = Patch(program)
    if not take_out(program, plain, learned):
        return
    yield Offer("nope", "learned", plain.code)
    patch = Patch(program)
    take_out(program, patch, learned)
    length = dotted(learned.length)
    if length is not None and _rotate(program, patch, length):
        yield Offer("rope", "learned", patch.code)


def _rotate(program: Program, patch: Patch, length: str) -> bool:
    """Rotate queries and keys in every attention layer; False if one of them hides its sizes."""
    places = attentions(program)
    sizes = [_sizes(program, attention, length) for attention in places]
    if not places or any(size is None for size in sizes) or "RotaryEmbedding" in program.bound():
        return False
    for attention, size in zip(places, sizes, strict=True):
        owner = attention.owner
        assert owner is not None, "its sizes were found in its class"
        assert owner.init is not None, "its sizes were found in __init__"
        name = "rope" if "rope" not in names(owner.node) else "rotary"
        made = patch.copy("rope", places[0].owner.node if places[0].owner else owner.node)
        q, k = attention.query, attention.key
        patch.at_end(owner.init, f"self.{name} = {made}({size})")
        patch.before(attention.statement, f"{q}, {k} = self.{name}({q}), self.{name}({k})")
    return True


def _sizes(program: Program, attention: Attention, length: str) -> str | None:
    """Return head width and number of positions as the attention layer's `__init__` can say them."""
    owner = attention.owner if attention.tokens_next else None
    width = head_dim(owner) if owner is not None else None
    positions = _within(program, owner, length) if owner is not None else None
    return f"{width}, {positions}" if width and positions else None


def _within(program: Program, owner: Class, length: str) -> str | None:
    """Translate `config.block_size` of the model's `__init__` into that of another class."""
    name = length.rpartition(".")[2]
    if name in owner.parameters() or length in program.bound():
        return name
    if "." not in length or owner.init is None:
        return None
    configs = {text(node.value) for node in walk(owner.init) if isinstance(node, cst.Attribute)}
    found = [param for param in owner.parameters() if param in configs]
    return f"{found[0]}.{name}" if found else None


def _knows_positions(program: Program) -> bool:
    marks = ("rot", "rope", "alibi", "pos_", "wpe", "positional", "pos_emb", "sin")
    return any(mark in name.lower() for name in names(program.module) for mark in marks)


def _named_length(program: Program) -> str | None:
    fields = {field for field, _ in program.config_defaults()}
    return next((f"config.{name}" for name in _LENGTHS if name in fields), None)


def _without_rotation(program: Program, experiment: Experiment) -> Patch | None:
    """Take the rotary layers out; None if anything but their calls reads them."""
    patch = Patch(program)
    calls = rotations(program)
    layers = {layer for _, layer in calls}
    reads = [node for node in program.all(cst.Attribute) if leaf(node) in layers]
    made = [line for owner in program.classes.values() for name, line, _ in owner.own() if name in layers]
    if len(reads) != len(calls) + len(made):
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


def _thetas(program: Program, experiment: Experiment) -> Iterator[Offer]:
    """Offer other rotary bases: in the configuration's default, or in the layer's own."""
    for node, label in _theta_literals(program, experiment):
        value = number(node)
        for theta in _THETAS:
            if value is not None and theta != value:
                yield Offer(
                    f"theta-{theta:.0f}",
                    label,
                    partial(_with_theta, program, node, theta),
                )


def _theta_literals(program: Program, experiment: Experiment) -> Iterator[tuple[cst.BaseExpression, str]]:
    fields = [(field, node) for field, node in program.config_defaults() if "theta" in field]
    for field, node in fields:
        if node.value is not None and not experiment.sets(field):
            yield node.value, field
    for owner in program.classes.values() if not fields else ():
        for param in owner.init.params.params if owner.init is not None else ():
            if param.default is not None and param.name.value in ("theta", "rope_theta", "rope_base"):
                yield param.default, f"{owner.name}.{param.name.value}"


def _with_theta(program: Program, node: cst.BaseExpression, theta: float) -> str:
    patch = Patch(program)
    patch.replace(node, float_text(theta, like=text(node)))
    return patch.code()


OPERATOR = Position()
