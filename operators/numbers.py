"""The numbers that a sampler may propose, with their ranges: settings of the experiment, two of the model.

Not an operator that lists sites: a sampler names the values, and `applied` writes them. An edit's variant
says them all, such as `learning_rate=0.0031,beta2=0.97`, so that it can be replayed like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from operators.operator import sentence
from operators.source import Edit, Source
from operators.syntax.experiment import read_experiment
from operators.syntax.model_numbers import ffn_ratio, theta, with_ffn_ratio, with_theta

NAME = "numbers"


@dataclass(frozen=True)
class Range:
    """Where a number may lie, and how a source is asked for it and given another."""

    low: float
    high: float
    read: Callable[[Source], float | None]  # None where the source has no such number, or does not use it
    write: Callable[[Source, str], Source]  # raises ValueError or KeyError where `read` gives None
    log: bool = False
    step: float | None = None  # values are whole multiples of it

    @property
    def whole(self) -> bool:
        """Whether it counts something."""
        return self.step == 1


def _read(path: str, only: tuple[str, str] | None, source: Source) -> float | None:
    """Read a setting of the experiment; `only` is another, and the value at which this one is used."""
    experiment = read_experiment(source.experiment)
    return experiment.number(path) if only is None or experiment.get(only[0]) == only[1] else None


def _write(path: str, source: Source, value: str) -> Source:
    return Source(source.model, read_experiment(source.experiment).with_values({path: value}))


def _setting(
    name: str,
    low: float,
    high: float,
    *,
    log: bool = False,
    step: float | None = None,
    only: tuple[str, str] | None = None,
) -> tuple[str, Range]:
    path = f"training.{name}"
    return name, Range(low, high, partial(_read, path, only), partial(_write, path), log, step)


RANGES: Mapping[str, Range] = dict(
    (
        _setting("learning_rate", 1e-4, 3e-2, log=True),
        _setting("muon_lr", 3e-3, 1e-1, log=True, only=("training.optimizer", "muon")),
        _setting("weight_decay", 0.0, 0.5),
        _setting("beta1", 0.6, 0.97),
        _setting("beta2", 0.8, 0.999),
        _setting("grad_clip", 0.0, 4.0),
        _setting("warmup_iters", 0, 200, step=1),
        _setting("decay_fraction", 0.05, 0.95, only=("training.schedule", "wsd")),
        _setting("batch_size", 2, 64, log=True, step=1),
        ("rope_theta", Range(1e2, 5e5, theta, with_theta, log=True)),
        ("ffn_ratio", Range(1.5, 8, ffn_ratio, with_ffn_ratio, log=True, step=0.25)),
    )
)

OF_THE_MODEL = frozenset({"rope_theta", "ffn_ratio"})  # the others are settings of its training


def present(source: Source) -> dict[str, float]:
    """Return the numbers that a source states and uses, by name."""
    found = {name: own.read(source) for name, own in RANGES.items()}
    return {name: float(value) for name, value in found.items() if value is not None}


def edit(values: Iterable[tuple[str, float]]) -> Edit:
    """Write values, by name, as an edit; three significant digits are kept."""
    stated = ",".join(f"{name}={_text(name, value)}" for name, value in values)
    return Edit(NAME, stated, "experiment")


def applied(source: Source, wanted: Edit) -> Source:
    """Return the source with the values that an edit states.

    Raises:
        ValueError, KeyError: the source lacks one of these numbers.
    """
    for item in wanted.variant.split(","):
        name, _, value = item.partition("=")
        source = RANGES[name].write(source, value)
    return source


def with_numbers(text: str, values: Mapping[str, int]) -> str:
    """Return an experiment with other whole numbers at these paths, which it has to state already."""
    return read_experiment(text).with_values({path: str(value) for path, value in values.items()})


def words(wanted: Edit) -> str:
    """Say an edit in words."""
    return sentence(wanted.variant.replace("_", " ").replace("=", " → ").replace(",", ", "))


def _text(name: str, value: float) -> str:
    step = RANGES[name].step
    if step is not None:
        value = round(value / step) * step
    return f"{value:.2e}" if 0 < value < 1e-4 else f"{float(f'{value:.3g}'):g}"
