"""Gate the feed-forward layer by a second projection of its input, or take the gate away.

Dauphin et al., "Language Modeling with Gated Convolutional Networks" (2017); Shazeer, "GLU Variants Improve
Transformer" (2020).
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial

import libcst as cst

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit
from operators.swap_activation import OPERATOR as SWAP_ACTIVATION
from operators.syntax.activations import local_activations
from operators.syntax.experiment import Experiment
from operators.syntax.feedforward import FeedForward, feed_forwards
from operators.syntax.gated import same_again, with_activation, with_gate, without_gate
from operators.syntax.patch import Patch
from operators.syntax.program import Program, read_program
from operators.syntax.sequential import UNITS, Sequence, sequences
from operators.syntax.widths import scaled

_VARIANTS = {unit.lower(): kind for unit, kind in UNITS.items()}
_GATED = {
    "": Fraction(2, 3),
    "-wide": Fraction(1),
}  # three matrices for two keep the parameters, or the width
_PLAIN = {"": Fraction(3, 2), "-narrow": Fraction(1)}
_SWAPS = {"tanh-gelu": "gelu"}
_MODULES = {"sigmoid": "GELU", "gelu": "GELU", "silu": "SiLU", "relu": "ReLU"}

Swaps = dict[tuple[str, str], list[Callable[[], str]]]


class Gating(ModelOperator):
    name = "gating"
    family = "knowledge"
    summary = "Gate the feed-forward layer (GLU, ReGLU, GEGLU, SwiGLU, ReLU2GLU), or take the gate away."
    preserves = frozenset({"shapes"})
    examples = (
        Example(
            """\
import torch.nn as nn

class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd, bias=config.bias)
        self.act = nn.GELU()
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=config.bias)

    def forward(self, x):
        return self.c_proj(self.act(self.c_fc(x)))
""",
            """\
import torch.nn as nn

class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        hidden = int(8 * config.n_embd / 3)
        self.c_fc = nn.Linear(config.n_embd, hidden, bias=config.bias)
        self.c_gate = nn.Linear(config.n_embd, hidden, bias=config.bias)
        self.act = nn.SiLU()
        self.c_proj = nn.Linear(hidden, config.n_embd, bias=config.bias)

    def forward(self, x):
        return self.c_proj(self.act(self.c_gate(x)) * self.c_fc(x))
""",
            "swiglu",
        ),
        Example(
            """\
import torch.nn as nn
from torch.nn import functional as F

class SwiGLU(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.gate = nn.Linear(dim, hidden)
        self.up = nn.Linear(dim, hidden)
        self.down = nn.Linear(hidden, dim)

    def forward(self, x):
        return self.down(F.silu(self.gate(x)) * self.up(x))
""",
            """\
import torch.nn as nn
from torch.nn import functional as F

class MLP(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.up = nn.Linear(dim, hidden)
        self.down = nn.Linear(hidden, dim)

    def forward(self, x):
        return self.down(F.silu(self.up(x)))
""",
            "none-narrow",
        ),
        Example(
            """\
import torch
import torch.nn as nn

class Gate(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.gate = nn.Linear(dim, dim)

    def forward(self, x):
        return torch.sigmoid(self.gate(x)) * x
"""
        ),
    )

    def words(self, edit: Edit) -> str:
        where, old = place(edit.site)
        variant, _, width = edit.variant.partition("-")
        same = ", same width" if width else ""
        if variant == "none":
            return sentence(f"ungate {where}{same}")
        return sentence(f"gate {old.removeprefix('gated-')} → {variant}{same} in {where}")

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        layers = feed_forwards(program)
        swaps = _swaps(program, experiment) if any(layer.gate is None for layer in layers) else {}
        for layer in layers:
            yield from _of_gated(program, layer) if layer.gate else _of_plain(program, layer, swaps)
        for sequence in sequences(program):
            yield from _of_sequence(program, sequence)


def _swaps(program: Program, experiment: Experiment) -> Swaps:
    """Return what `swap_activation` offers: a gate's activation changes in the manner of any other."""
    found: Swaps = {}
    for offer in SWAP_ACTIVATION.find(program, experiment):
        found.setdefault((offer.site, offer.variant), []).append(offer.rewrite)
    return found


def _of_plain(program: Program, layer: FeedForward, swaps: Swaps) -> Iterator[Offer]:
    widths = [suffix for suffix, factor in _GATED.items() if with_gate(program, layer, factor) is not None]
    for variant, kind in _VARIANTS.items() if widths else ():
        swapped = _swapped(program, layer, kind, swaps)
        if swapped is not None:
            for suffix in widths:
                rewrite = partial(_gated, program, layer, swapped, _GATED[suffix])
                yield Offer(f"{variant}{suffix}", layer.site, rewrite)


def _swapped(program: Program, layer: FeedForward, kind: str, swaps: Swaps) -> Callable[[], str] | None:
    """Return how to come by the program with another activation; None if there is no one way to it."""
    own = layer.activated.kind
    if kind == _SWAPS.get(own, own):
        return lambda: program.text
    if "sigmoid" in (kind, own):
        patch = with_activation(program, layer, kind)
        return patch.code if patch is not None else None
    ways = swaps.get((layer.site, kind), [])
    return ways[0] if len(ways) == 1 else None


def _gated(program: Program, layer: FeedForward, swapped: Callable[[], str], factor: Fraction) -> str:
    again = read_program(swapped())
    assert again is not None, "operators write Python"
    same = same_again(program, layer, again)
    patch = with_gate(again, same, factor) if same is not None else None
    assert patch is not None, "another activation leaves the layer as it is"
    return patch.code()


def _of_gated(program: Program, layer: FeedForward) -> Iterator[Offer]:
    for suffix, factor in _PLAIN.items():
        patch = without_gate(program, layer, factor)
        if patch is not None:
            yield Offer(f"none{suffix}", layer.site, patch.code)
    own = layer.activated.kind
    for variant, kind in _VARIANTS.items():
        if kind != own and "sigmoid" in (kind, own):  # between the others, `swap_activation` swaps
            patch = with_activation(program, layer, kind)
            if patch is not None:
                yield Offer(variant, layer.site, patch.code)


def _of_sequence(program: Program, sequence: Sequence) -> Iterator[Offer]:
    site = f"{program.owner(sequence.call)}:{'gated-' if sequence.gated else ''}{sequence.kind}"
    for suffix, factor in (_PLAIN if sequence.gated else _GATED).items():
        if scaled(program, sequence.hidden, factor) is None:
            continue
        if sequence.gated:
            yield Offer(f"none{suffix}", site, partial(_plain_sequence, program, sequence, factor))
            continue
        for unit in UNITS:
            if unit not in program.bound():
                rewrite = partial(_gated_sequence, program, sequence, unit, factor)
                yield Offer(f"{unit.lower()}{suffix}", site, rewrite)


def _gated_sequence(program: Program, sequence: Sequence, unit: str, factor: Fraction) -> str:
    """Put a gated linear unit in the place of the first linear layer and the activation."""
    patch, at = _rewidening(program, sequence, factor), sequence.at
    name = patch.copy(unit.lower(), program.top(sequence.call))
    patch.change(sequence.up.func, lambda updated: cst.Name(name))
    patch.change(
        sequence.call,
        lambda updated: updated.with_changes(args=[*updated.args[: at + 1], *updated.args[at + 2 :]]),
    )
    patch.helper(*local_activations(program))
    return patch.code()


def _plain_sequence(program: Program, sequence: Sequence, factor: Fraction) -> str:
    """Put a linear layer and an activation in the place of a gated linear unit."""
    patch, at = _rewidening(program, sequence, factor), sequence.at
    patch.helper(program.qualified(sequence.up.func) or "")
    patch.replace(sequence.up.func, patch.spell("torch.nn.Linear"))
    if sequence.kind in _MODULES:
        made = patch.spell(f"torch.nn.{_MODULES[sequence.kind]}")
    else:
        made = patch.copy("squared_relu", program.top(sequence.call))

    def elements(updated: cst.Call) -> cst.Call:
        activation = updated.args[at].with_changes(value=patch.expression(f"{made}()"))
        return updated.with_changes(args=[*updated.args[: at + 1], activation, *updated.args[at + 1 :]])

    patch.change(sequence.call, elements)
    return patch.code()


def _rewidening(program: Program, sequence: Sequence, factor: Fraction) -> Patch:
    patch = Patch(program)
    widths = scaled(program, sequence.hidden, factor)
    assert widths is not None, "it was looked at before it was offered"
    widths.put(patch)
    return patch


OPERATOR = Gating()
