"""Change how the model knows where a token stands: learned, rotary, by biases of attention, or not at all.

Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding" (2021); Press et al., "Train
Short, Test Long" (2021), for ALiBi; Kazemnejad et al., "The Impact of Positional Encoding on Length
Generalization in Transformers" (2023), for no positions at all; Raffel et al., "Exploring the Limits of
Transfer Learning" (2020), for the learned bias per head and distance that `hybrid` adds to rotation.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import libcst as cst

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit
from operators.syntax.experiment import Experiment, float_text
from operators.syntax.lengths import LENGTHS
from operators.syntax.patch import Patch
from operators.syntax.positions import learned_positions, put_in, take_out
from operators.syntax.program import Program, read_program
from operators.syntax.rotary import bases, rotary_part, rotate, rotations, with_part, without_rotation
from operators.syntax.rotated import without_rotated
from operators.syntax.scores import biases, put_bias, take_out_bias
from operators.syntax.tree import dotted, names, number, text

_LEARNED, _ROTARY, _ALIBI, _RELATIVE, _UNKNOWN = "learned", "rope", "alibi", "relative_bias", "unknown"
_ORDER = (_LEARNED, _ROTARY, _ALIBI, _RELATIVE)
_SCHEMES = {
    "learned": frozenset({_LEARNED}),
    "rope": frozenset({_ROTARY}),
    "rope-0.5": frozenset({_ROTARY}),
    "rope-0.25": frozenset({_ROTARY}),
    "alibi": frozenset({_ALIBI}),
    "nope": frozenset[str](),
    "hybrid": frozenset({_ROTARY, _RELATIVE}),
}
_PARTS = {"rope-0.5": 2, "rope-0.25": 4}
_BIASES = {_ALIBI: ("alibi",), _RELATIVE: ("relative", "bias")}  # words of the class's name
_MODULES = {_ALIBI: "alibi", _RELATIVE: "relative_bias"}  # of foundry/modules
_ROTARY_MARKS = re.compile(r"rotary|(^|_)(rot|rope)")
_MARKS = re.compile(r"alibi|sinusoid|(^|_)(sin|wpe|pos|position|positional|relative)(_|$)|^posemb")
_THETAS = (100.0, 1000.0, 10000.0, 100000.0)


class Position(ModelOperator):
    name = "position"
    family = "knowledge"
    summary = (
        "Know positions by learning, RoPE (of all, half or a quarter of each head; other bases), ALiBi, "
        "RoPE with a learned bias per head and distance, or not at all."
    )
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
            """\
import torch.nn as nn

def apply_rotary(x, cos, sin):
    half = x.size(-1) // 2
    return x * cos + x.roll(half, -1) * sin

class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.rotary = Rotary(config.head_dim)

    def forward(self, q, k):
        cos, sin = self.rotary(q)
        q, k = apply_rotary(q, cos, sin), apply_rotary(k, cos, sin)
        return q @ k.mT
""",
            """\
import torch.nn as nn

class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()

    def forward(self, q, k):
        return q @ k.mT
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
        scheme = _Scheme.of(program)
        bare: dict[frozenset[str], Program | None] = {}
        for variant, wanted in _SCHEMES.items():
            gone = scheme.parts - wanted
            if gone not in bare:
                bare[gone] = _without(program, experiment, gone)
            found = bare[gone]
            patch = _changed(found, scheme, variant, wanted) if found is not None else None
            if patch is not None:
                yield Offer(variant, scheme.label, patch.code)
        yield from _thetas(program, experiment)


@dataclass(frozen=True)
class _Scheme:
    """Hold how a model knows positions: by which parts, of how much of each head, for how many tokens."""

    parts: frozenset[str]
    part: int | None  # one of so many parts of each head is rotated, if by a layer of ours
    length: str | None  # as the class of a learned embedding says it

    @classmethod
    def of(cls, program: Program) -> "_Scheme":
        learned = learned_positions(program)
        parts = {name for name, words in _BIASES.items() if biases(program, *words)}
        parts |= {_LEARNED} if learned is not None else set()
        marks = {name for name in _spoken(program) if _MARKS.search(name) or _ROTARY_MARKS.search(name)}
        if rotations(program) or any(_ROTARY_MARKS.search(name) for name in marks):
            parts.add(_ROTARY)
        elif marks and not parts:
            parts.add(_UNKNOWN)
        length = dotted(learned.length) if learned is not None else None
        return cls(frozenset(parts), rotary_part(program), length)

    @property
    def label(self) -> str:
        """Name the scheme as the variant that gives it, or by its parts."""
        rope = "rope" if self.part in (None, 1) else f"rope-{1 / (self.part or 1):g}"
        known = {parts: name for name, parts in _SCHEMES.items() if "rope-" not in name}
        return rope if self.parts == {_ROTARY} else known.get(self.parts, "+".join(sorted(self.parts)))


def _spoken(program: Program) -> set[str]:
    """Return the names that functions of the file use, in lower case, those of lengths left out."""
    methods = [method for owner in program.classes.values() for method in owner.methods.values()]
    functions = [*program.functions.values(), *methods]
    return {name.lower() for function in functions for name in names(function)} - set(LENGTHS)


def _without(program: Program, experiment: Experiment, gone: frozenset[str]) -> Program | None:
    """Return the program without these parts; None if one of them cannot be taken out."""
    for part in sorted(gone):
        text = _without_part(program, experiment, part)
        bare = read_program(text) if text is not None else None
        if bare is None:
            return None
        program = bare
    return program


def _without_part(program: Program, experiment: Experiment, part: str) -> str | None:
    if part == _UNKNOWN:
        return None
    if part == _ROTARY:
        rotation = without_rotation(program, experiment) or without_rotated(program)
        return rotation.code() if rotation is not None else None
    patch = Patch(program)
    if part == _LEARNED:
        learned = learned_positions(program)
        done = learned is not None and take_out(program, patch, learned)
    else:
        done = all(take_out_bias(program, patch, layer) for layer in biases(program, *_BIASES[part]))
    return patch.code() if done else None


def _changed(bare: Program, scheme: _Scheme, variant: str, wanted: frozenset[str]) -> Patch | None:
    """Add what is wanted and not yet there; None if that is impossible, or nothing changes."""
    patch = Patch(bare)
    part = _PARTS.get(variant, 1)
    new = [name for name in _ORDER if name in wanted - scheme.parts]
    if not all(_add(bare, patch, scheme, name, part) for name in new):
        return None
    if wanted != {_ROTARY} or new:
        return patch if scheme.parts != wanted else None
    if scheme.parts != wanted:  # what is rotated stays as it is when something else goes
        return patch if variant == "rope" else None
    if scheme.part in (None, part):
        return None
    with_part(bare, patch, part)
    return patch


def _add(bare: Program, patch: Patch, scheme: _Scheme, name: str, part: int) -> bool:
    if name == _LEARNED:
        return put_in(bare, patch, scheme.length)
    if name == _ROTARY:
        return rotate(bare, patch, part, scheme.length)
    return put_bias(bare, patch, _MODULES[name], name, scheme.length)


def _thetas(program: Program, experiment: Experiment) -> Iterator[Offer]:
    """Offer other rotary bases: in the configuration's default, or in the layer's own."""
    for node, label in bases(program, experiment):
        value = number(node)
        for theta in _THETAS:
            if value is not None and theta != value:
                yield Offer(
                    f"theta-{theta:.0f}",
                    label,
                    partial(_with_theta, program, node, theta),
                )


def _with_theta(program: Program, node: cst.BaseExpression, theta: float) -> str:
    patch = Patch(program)
    patch.replace(node, float_text(theta, like=text(node)))
    return patch.code()


OPERATOR = Position()
