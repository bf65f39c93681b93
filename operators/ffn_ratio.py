"""Change the width of the feed-forward layer in proportion to the model's."""

from collections.abc import Iterator
from fractions import Fraction
from functools import partial

import libcst as cst

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit
from operators.syntax.experiment import Experiment
from operators.syntax.experts import expert_classes
from operators.syntax.feedforward import feed_forwards
from operators.syntax.patch import Patch
from operators.syntax.program import Program
from operators.syntax.ratios import hidden_widths
from operators.syntax.tree import leaf, number
from operators.syntax.widths import Rewidened, Width, rewidened, value_of

_RATIOS = (Fraction(2), Fraction(8, 3), Fraction(3), Fraction(4), Fraction(6), Fraction(8))

_CONFIGURED = """\
from dataclasses import dataclass
from torch import nn

@dataclass
class Config:
    hidden_size: int = 96
    intermediate_size: int = 256  # of the feed-forward

class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.up = nn.Linear(config.hidden_size, config.intermediate_size)
        self.down = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x):
        return self.down(nn.functional.gelu(self.up(x)))
"""


class FFNRatio(ModelOperator):
    name = "ffn_ratio"
    family = "knowledge"
    summary = "Make the hidden layer of the feed-forward 2, 8/3, 3, 4, 6 or 8 times the model's width."
    preserves = frozenset({"shapes"})
    examples = (
        Example(
            """\
import torch.nn as nn

class MLP(nn.Module):
    def __init__(self, n_embd):
        super().__init__()
        self.up = nn.Linear(n_embd, 4 * n_embd)
        self.down = nn.Linear(4 * n_embd, n_embd)
""",
            """\
import torch.nn as nn

class MLP(nn.Module):
    def __init__(self, n_embd):
        super().__init__()
        self.up = nn.Linear(n_embd, 6 * n_embd)
        self.down = nn.Linear(6 * n_embd, n_embd)
""",
            "6",
        ),
        Example(
            "import torch.nn as nn\n\ndef mlp(dim):\n"
            "    hidden = int(8 * dim / 3)\n"
            "    return nn.Sequential(nn.Linear(dim, hidden), nn.SiLU(), nn.Linear(hidden, dim))\n",
            "import torch.nn as nn\n\ndef mlp(dim):\n"
            "    hidden = 4 * dim\n"
            "    return nn.Sequential(nn.Linear(dim, hidden), nn.SiLU(), nn.Linear(hidden, dim))\n",
            "4",
        ),
        Example(_CONFIGURED, _CONFIGURED.replace("= 256", "= 384"), "4"),
        Example("import torch.nn as nn\n\ndef c_attn(n_embd):\n    return nn.Linear(n_embd, 3 * n_embd)\n"),
    )

    def words(self, edit: Edit) -> str:
        where, old = place(edit.site)
        old = old.rpartition("-")[2]
        return sentence(f"FFN ratio {old} → {edit.variant.replace('-', '/')} in {where}")

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        yield from _of_products(program)
        yield from _of_fields(program, experiment)


def _of_products(program: Program) -> Iterator[Offer]:
    """Offer other ratios where a linear layer puts out, and another takes in, a number times a width."""
    experts = expert_classes(program)
    for hidden in hidden_widths(program):
        site = f"{program.owner(hidden.nodes[0])}:{_kind(program, experts, hidden)}{hidden.ratio}"
        for ratio in _RATIOS:
            plan = rewidened(program, hidden, ratio) if ratio != hidden.ratio else None
            if plan is not None:
                yield Offer(str(ratio).replace("/", "-"), site, partial(_planned, program, plan))


def _kind(program: Program, experts: set[str], hidden: Width) -> str:
    """Tell gated layers and experts, whose ratios mean another cost, from plain layers."""
    owner = program.class_of(hidden.nodes[0])
    mine = [layer for layer in feed_forwards(program) if layer.owner is owner]
    mixed = "expert-" if owner is not None and owner.name in experts else ""
    return mixed + ("gated-" if any(layer.gate is not None for layer in mine) else "")


def _planned(program: Program, plan: Rewidened) -> str:
    patch = Patch(program)
    plan.put(patch)
    return patch.code()


def _of_fields(program: Program, experiment: Experiment) -> Iterator[Offer]:
    """Offer other ratios where the configuration has a field, with a default, for the hidden width."""
    fields = dict(program.config_defaults())
    hidden = {layer.hidden.base: layer for layer in feed_forwards(program)}
    for base, layer in hidden.items():
        field = fields.get(base.rpartition(".")[2])
        width = value_of(program, layer.up.layer.sizes[0])
        size = _size(fields, experiment, width[1]) if width is not None else None
        old = number(field.value) if field is not None and field.value is not None else None
        if field is None or size is None or old is None or experiment.sets(leaf(field.target)):
            continue
        if width is None or width[1] == base:
            continue
        for ratio in _RATIOS:
            if int(ratio * size / layer.hidden.ratio) != old:
                yield Offer(
                    str(ratio).replace("/", "-"),
                    f"{program.owner(field)}.{leaf(field.target)}:{old}",
                    partial(_with_default, program, field, int(ratio * size / layer.hidden.ratio)),
                )


def _size(fields: dict[str, cst.AnnAssign], experiment: Experiment, base: str) -> int | None:
    """Return the model's width, as the experiment gives it or as its field has it by default."""
    name = base.rpartition(".")[2]
    field = fields.get(name)
    default = number(field.value) if field is not None and field.value is not None else None
    return experiment.integer(f"model_args.{name}") or (default if isinstance(default, int) else None)


def _with_default(program: Program, field: cst.AnnAssign, size: int) -> str:
    patch = Patch(program)
    assert field.value is not None, "only fields with a default are offered"
    patch.replace(field.value, str(size))
    return patch.code()


OPERATOR = FFNRatio()
