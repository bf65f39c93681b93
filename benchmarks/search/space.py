"""The space that the benchmark of searches walks, and the table of what every point of it really scored.

A point names one value for each factor; the first value of a factor is the base's. A value is one or a few
edits of our operators, or a number of the experiment, so one mutation is one coordinate changed. The
programs are v1 and its mutants at a size that trains in two seconds; `make_table.py` trained them all, and
`Table` looks up what came out. Free of torch: replaying a search is looking up numbers.
"""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import operators
from foundry.seed import read_model
from operators import Source

FILE = Path(__file__).with_name("table.json.gz")
STEPS = (16, 48, 144)  # updates at the rungs T/9, T/3 and T; the learning rate decays from step 101 on
SEEDS = (0, 1, 2, 3)
SCORED_TOKENS = 16384  # targets of a score: the first so many of a split

EXPERIMENT = """\
name: search
base_model: v1
model_args:
  n_layer: 2
  n_head: 4
  n_embd: 64
  block_size: 32
  dropout: 0.0
  bias: false
training:
  batch_size: 16
  max_iters: 144
  optimizer: adamw
  learning_rate: 1.0e-3
  min_lr: 1.0e-4
  weight_decay: 0.1
  beta1: 0.9
  beta2: 0.99
  grad_clip: 1.0
  schedule: wsd
  warmup_iters: 6
  decay_fraction: 0.3
  eval_interval: 48
data:
  dataset: shakespeare_char
  split: contiguous
"""

Point = tuple[str, ...]  # a value for each factor, in the order of FACTORS
_Change = tuple[str, str]  # operator and variant; or, for NULL, the old and the new line of the experiment

NULL = "eval_interval"  # a number that a person reads and no score depends on: it makes null mutations

FACTORS: Mapping[str, Mapping[str, tuple[_Change, ...]]] = {
    "position": {"learned": (), "rope": (("position", "rope"),)},
    "norm": {"layernorm": (), "rmsnorm": (("swap_norm", "rmsnorm"),)},
    "qknorm": {"none": (), "rms": (("insert_qknorm", "rms"),)},
    "activation": {
        "gelu": (),
        "relu2": (("swap_activation", "relu2"),),
        "swiglu": (("gating", "swiglu"),),
    },
    "zero_init": {"off": (), "on": (("zero_init", "projections"),)},
    "optimizer": {
        "adamw-1e-3": (),
        "adamw-3e-3": (("learning_rate", "x3"),),
        "adamw-6e-3": (("learning_rate", "x3"), ("learning_rate", "x2")),
        "muon-0.02": (("optimizer", "muon"),),
    },
    "width": {"64": (), "96": (("width", "x1.5"),)},
    NULL: {
        "48": (),
        "24": (("eval_interval: 48", "eval_interval: 24"),),
        "16": (("eval_interval: 48", "eval_interval: 16"),),
    },
}

BASE: Point = tuple(next(iter(values)) for values in FACTORS.values())


def points() -> list[Point]:
    """List every point, the base first."""
    return list(itertools.product(*FACTORS.values()))


def architectures() -> list[Point]:
    """List the points that differ in more than a null coordinate, the base first: those that were trained."""
    return [point for point in points() if point == architecture(point)]


def architecture(point: Point) -> Point:
    """Return the point that trains exactly as this one, with the base's value of the null factor."""
    return tuple(
        base if name == NULL else value for name, value, base in zip(FACTORS, point, BASE, strict=True)
    )


def neighbours(point: Point) -> list[Point]:
    """List the points one mutation away: one coordinate changed, to any other value."""
    return [
        (*point[:place], value, *point[place + 1 :])
        for place, values in enumerate(FACTORS.values())
        for value in values
        if value != point[place]
    ]


def label(point: Point) -> str:
    """Name a point by its values, in the order of the factors."""
    return " ".join(point)


@cache
def source(point: Point) -> Source:
    """Build the program of a point by editing v1; what the first values share is built once.

    Raises:
        KeyError: a value that its factor does not have.
    """
    if not point:
        return Source(read_model("v1"), EXPERIMENT)
    name = list(FACTORS)[len(point) - 1]
    made = source(point[:-1])
    for change in FACTORS[name][point[-1]]:
        made = _renumbered(made, *change) if name == NULL else _edited(made, *change)
    return made


def _edited(parent: Source, operator: str, variant: str) -> Source:
    edits = [edit for edit in operators.lookup(operator).sites(parent) if edit.variant == variant]
    assert len(edits) == 1, f"{operator} {variant} applies at {len(edits)} sites"
    return operators.apply(parent, edits[0])


def _renumbered(parent: Source, old: str, new: str) -> Source:
    assert parent.experiment.count(old) == 1
    return Source(parent.model, parent.experiment.replace(old, new))


@dataclass(frozen=True, kw_only=True)
class Row:
    """What the trainings of one architecture gave; losses in nats per token."""

    params: int
    flops_per_step: int
    seconds: float  # of CPU for one full training, scores left out: the median over seeds
    search: tuple[tuple[float, ...], ...]  # (seeds, rungs), on val_search
    confirm: tuple[float, ...]  # (seeds,), on val_confirm at the last rung
    test: tuple[float, ...]  # (seeds,), on test at the last rung


@dataclass(frozen=True)
class Table:
    """Every architecture's row, and how it was made. Any point may be asked for, null coordinates too."""

    rows: Mapping[Point, Row]
    steps: tuple[int, ...]  # updates at each rung
    seeds: tuple[int, ...]
    made: Mapping[str, object] = field(default_factory=dict)  # machine, versions, commit, data

    @classmethod
    def load(cls, path: Path = FILE) -> Table:
        """Read the table that is shipped, or another."""
        body = json.loads(gzip.decompress(path.read_bytes()))
        assert body["factors"] == {name: list(values) for name, values in FACTORS.items()}, "another space"
        rows = {tuple(row.pop("point").split(" ")): _row(row) for row in body["rows"]}
        return cls(rows, tuple(body["steps"]), tuple(body["seeds"]), body["made"])

    def row(self, point: Point) -> Row:
        """Return the row of the architecture that a point is."""
        return self.rows[architecture(point)]

    def loss(self, point: Point, seed: int, rung: int) -> float:
        """Return the loss on val_search at a rung, counted from 0: what a search may see."""
        return self.row(point).search[self.seeds.index(seed)][rung]

    def confirm(self, point: Point, seed: int) -> float:
        """Return the loss on val_confirm of a full training."""
        return self.row(point).confirm[self.seeds.index(seed)]

    def test(self, point: Point, seed: int) -> float:
        """Return the loss on test of a full training."""
        return self.row(point).test[self.seeds.index(seed)]

    def flops(self, point: Point, rung: int) -> int:
        """Return the training FLOPs from the start to a rung; going on from the one before costs the rest."""
        return self.row(point).flops_per_step * self.steps[rung]


def _row(body: dict[str, object]) -> Row:
    """Turn the lists of JSON into tuples."""
    search, confirm, test = body.pop("search"), body.pop("confirm"), body.pop("test")
    assert isinstance(search, list)
    assert isinstance(confirm, list)
    assert isinstance(test, list)
    return Row(
        search=tuple(tuple(losses) for losses in search),
        confirm=tuple(confirm),
        test=tuple(test),
        **body,  # type: ignore[arg-type]
    )
