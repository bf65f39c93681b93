"""The numbers of an experiment that a sampler may propose, with their ranges.

Not an operator that lists sites: a sampler names the values, and `applied` writes them. An edit's variant
says them all, such as `learning_rate=0.0031,beta2=0.97`, so that it can be replayed like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from operators.operator import sentence
from operators.source import Edit, Source
from operators.syntax.experiment import read_experiment

NAME = "numbers"


@dataclass(frozen=True)
class Range:
    """Where a number may lie, and what has to hold for it to matter."""

    path: str
    low: float
    high: float
    log: bool = False
    whole: bool = False
    only: tuple[str, str] | None = None  # a setting, and the value at which this number is used


RANGES: Mapping[str, Range] = {
    "learning_rate": Range("training.learning_rate", 1e-4, 3e-2, log=True),
    "muon_lr": Range("training.muon_lr", 3e-3, 1e-1, log=True, only=("training.optimizer", "muon")),
    "weight_decay": Range("training.weight_decay", 0.0, 0.5),
    "beta1": Range("training.beta1", 0.6, 0.97),
    "beta2": Range("training.beta2", 0.8, 0.999),
    "grad_clip": Range("training.grad_clip", 0.0, 4.0),
    "warmup_iters": Range("training.warmup_iters", 0, 200, whole=True),
    "decay_fraction": Range("training.decay_fraction", 0.05, 0.95, only=("training.schedule", "wsd")),
    "batch_size": Range("training.batch_size", 2, 64, log=True, whole=True),
}


def present(source: Source) -> dict[str, float]:
    """Return the numbers that an experiment states and uses, by name."""
    experiment = read_experiment(source.experiment)
    found = {}
    for name, own in RANGES.items():
        value = experiment.number(own.path)
        if value is not None and (own.only is None or experiment.get(own.only[0]) == own.only[1]):
            found[name] = float(value)
    return found


def edit(values: Iterable[tuple[str, float]]) -> Edit:
    """Write values, by name, as an edit; three significant digits are kept."""
    stated = ",".join(f"{name}={_text(name, value)}" for name, value in values)
    return Edit(NAME, stated, "experiment")


def applied(source: Source, wanted: Edit) -> Source:
    """Return the source with the values that an edit states."""
    values = dict(item.split("=") for item in wanted.variant.split(","))
    paths = {RANGES[name].path: value for name, value in values.items()}
    return Source(source.model, read_experiment(source.experiment).with_values(paths))


def with_numbers(text: str, values: Mapping[str, int]) -> str:
    """Return an experiment with other whole numbers at these paths, which it has to state already."""
    return read_experiment(text).with_values({path: str(value) for path, value in values.items()})


def words(wanted: Edit) -> str:
    """Say an edit in words."""
    return sentence(wanted.variant.replace("_", " ").replace("=", " → ").replace(",", ", "))


def _text(name: str, value: float) -> str:
    return str(round(value)) if RANGES[name].whole else f"{value:.3g}" if value >= 1e-4 else f"{value:.2e}"
