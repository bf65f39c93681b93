"""Let one matrix embed tokens and predict them, or give each task a matrix of its own.

Press and Wolf, "Using the Output Embedding to Improve Language Models" (2017).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import libcst as cst

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit
from operators.syntax.embeddings import TokenEmbedding, token_embedding
from operators.syntax.experiment import Experiment
from operators.syntax.patch import Patch
from operators.syntax.program import Class, Program
from operators.syntax.tree import argument, assigned, dotted, leaf, text, walk

_RESETS = ("zeros_", "zero_", "constant_", "fill_")
_SAID = "  # tied: one matrix embeds and predicts"


class TieEmbeddings(ModelOperator):
    name = "tie_embeddings"
    family = "knowledge"
    summary = "Share one matrix between token embedding and head, or stop sharing it."
    preserves = frozenset({"shapes"})
    examples = (
        Example(
            """\
import torch.nn as nn

class GPT(nn.Module):
    def __init__(self, vocab_size, dim):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, dim)
        self.head = nn.Linear(dim, vocab_size, bias=False)

    def forward(self, idx):
        return self.head(self.embed(idx))
""",
            """\
import torch.nn as nn

class GPT(nn.Module):
    def __init__(self, vocab_size, dim):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, dim)
        self.head = nn.Linear(dim, vocab_size, bias=False)
        self.embed.weight = self.head.weight  # tied: one matrix embeds and predicts

    def forward(self, idx):
        return self.head(self.embed(idx))
""",
            "tie",
        ),
        Example(
            """\
import torch.nn as nn

class GPT(nn.Module):
    def __init__(self, vocab_size, dim):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, 2 * dim)
        self.head = nn.Linear(dim, vocab_size)

    def forward(self, idx):
        return self.head(self.embed(idx)[..., ::2])
"""
        ),
    )

    def words(self, edit: Edit) -> str:
        verb = "share" if edit.variant == "tie" else "separate"
        return sentence(f"{verb} embedding and head of {place(edit.site)[0]}")

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        apart = _tied_apart(program)
        if apart is not None:
            yield Offer("untie", apart[0].name, partial(_untied, program, [apart[1]]))
            return
        tokens = token_embedding(program)
        head = _head(program, tokens) if tokens is not None else None
        if tokens is None or head is None:
            return
        ties = _ties(tokens, head)
        if ties and _all_are_plain(program, tokens, ties):
            yield Offer("untie", tokens.owner.name, partial(_untied, program, ties))
        elif not ties and not _is_reset(tokens, head):
            yield Offer("tie", tokens.owner.name, partial(_tied, program, tokens, head))


@dataclass(frozen=True)
class _Head:
    """Hold the layer from the stream's width to the vocabulary."""

    path: str  # self.lm_head
    line: cst.SimpleStatementLine


def _head(program: Program, tokens: TokenEmbedding) -> _Head | None:
    """Return the linear layer whose sizes are those of the embedding the other way round, if there is one."""
    found = []
    for name, line, value in tokens.owner.own():
        if isinstance(value, cst.Call) and _is_linear(program, value):
            taken, given = argument(value, 0, "in_features"), argument(value, 1, "out_features")
            sizes = [text(size.value) if size is not None else "" for size in (taken, given)]
            if sizes == [tokens.width, tokens.vocabulary]:
                found.append(_Head(f"self.{name}", line))
    return found[0] if len(found) == 1 else None


def _is_linear(program: Program, call: cst.Call) -> bool:
    """Tell whether a call makes torch's linear layer, or one that a class of the file derives from it."""
    if program.qualified(call.func) == "torch.nn.Linear":
        return True
    owner = program.classes.get(leaf(call.func))
    bases = owner.node.bases if owner is not None else ()
    return any(program.qualified(base.value) == "torch.nn.Linear" for base in bases)


def _ties(tokens: TokenEmbedding, head: _Head) -> list[cst.Assign]:
    """Return the assignments of the class that make one weight the other."""
    both = {f"{tokens.path}.weight", f"{head.path}.weight"}
    plain = [n for n in walk(tokens.owner.node) if isinstance(n, cst.Assign) and len(n.targets) == 1]
    return [line for line in plain if {dotted(line.targets[0].target), dotted(line.value)} == both]


def _tied_apart(program: Program) -> tuple[Class, cst.Assign] | None:
    """Return the one line of an `__init__` that ties its head to the embedding which a layer of it holds."""
    found = []
    for owner in program.classes.values():
        heads = {
            f"self.{name}.weight"
            for name, _, value in owner.own()
            if isinstance(value, cst.Call) and _is_linear(program, value)
        }
        for line in walk(owner.init) if owner.init is not None else ():
            pair = assigned(line)
            both = {dotted(pair[0]), dotted(pair[1])} if pair is not None else set()
            small = line.body[0] if isinstance(line, cst.SimpleStatementLine) else None
            if both & heads and any(_is_held(program, owner, path) for path in both - heads):
                found += [(owner, small)] if isinstance(small, cst.Assign) else []
    plain = [one for one in found if program.parents[program.parents[one[1]]] is one[0].init.body]  # type: ignore[union-attr]
    return plain[0] if len(plain) == len(found) == 1 else None


def _is_held(program: Program, owner: Class, path: str | None) -> bool:
    """Tell whether `self.transformer.wte.weight` is an embedding's, made by the class of that layer."""
    parts = (path or "").split(".")
    if len(parts) != 4 or parts[0] != "self" or parts[3] != "weight":
        return False
    holders = [
        leaf(value.func) for name, _, value in owner.own() if name == parts[1] and isinstance(value, cst.Call)
    ]
    inner = program.classes.get(holders[0]) if len(holders) == 1 else None
    made = [value for name, _, value in inner.own() if name == parts[2]] if inner is not None else []
    return (
        len(made) == 1
        and isinstance(made[0], cst.Call)
        and program.qualified(made[0].func) == "torch.nn.Embedding"
    )


def _all_are_plain(program: Program, tokens: TokenEmbedding, ties: list[cst.Assign]) -> bool:
    """Tell whether the ties stand in `__init__`, under no condition, each on a line of its own."""
    init = tokens.owner.init
    lines = [program.parents[tie] for tie in ties]
    alone = all(isinstance(line, cst.SimpleStatementLine) and len(line.body) == 1 for line in lines)
    return alone and init is not None and all(program.parents[line] is init.body for line in lines)


def _is_reset(tokens: TokenEmbedding, head: _Head) -> bool:
    """Tell whether the head starts as a constant, which no embedding may share."""
    for call in (node for node in walk(tokens.owner.node) if isinstance(node, cst.Call)):
        paths = {dotted(node) for node in walk(call) if isinstance(node, cst.Attribute)}
        if leaf(call.func) in _RESETS and head.path in paths and f"{head.path}.bias" not in paths:
            return True
    return False


def _untied(program: Program, ties: list[cst.Assign]) -> str:
    patch = Patch(program)
    for tie in ties:
        patch.remove(program.parents[tie])
    return patch.code()


def _tied(program: Program, tokens: TokenEmbedding, head: _Head) -> str:
    """Give the embedding the head's matrix, so that the head's initialisation holds, below both."""
    patch = Patch(program)
    made = program.line_of(tokens.made)
    assert made is not None, "an embedding is made by a statement"
    last = max(head.line, made, key=program.nodes.index)
    patch.after(last, f"{tokens.path}.weight = {head.path}.weight{_SAID}")
    return patch.code()


OPERATOR = TieEmbeddings()
