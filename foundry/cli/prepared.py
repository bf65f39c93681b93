"""An experiment from a file, its model's source and its data: everything checked before anything runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from foundry.data import dataset
from foundry.data.dataset import Dataset
from foundry.errors import UserError
from foundry.seed import check_model_args, read_model
from foundry.training.experiment import Experiment, override, parse


@dataclass(frozen=True)
class Prepared:
    """What a training needs, ready for use."""

    text: str  # of the experiment, settings from the command line included
    experiment: Experiment
    model: str  # source
    dataset: Dataset


def read_text(path: str) -> str:
    """Read the YAML of an experiment.

    Raises:
        UserError: there is no such file, or it is not text.
    """
    try:
        return Path(path).read_text("utf-8")
    except FileNotFoundError:
        raise UserError(f"experiment {path!r} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"experiment {path!r} cannot be read: {error}") from None


def prepare(text: str, path: str, settings: Iterable[str] = ()) -> Prepared:
    """Parse an experiment with `KEY=VALUE` settings laid over it, derive its model and load its data.

    Raises:
        UserError: a key, value, mutation, field of the model or data set is wrong; `path` is named.
    """
    text = override(text, settings, path)
    parsed = parse(text, path)
    if parsed.checkpoint is not None and not Path(parsed.checkpoint).exists():
        raise UserError(f"{path}: checkpoint {parsed.checkpoint!r} does not exist")
    source = _model(text, parsed)
    check_model_args(source, parsed.base_model, parsed.model_args)
    data = dataset.load(parsed.data)
    dataset.require_block(data, parsed.block_size)
    return Prepared(text, parsed, source, data)


def _model(text: str, parsed: Experiment) -> str:
    if not parsed.mutations:
        return read_model(parsed.base_model)
    from foundry.cli.mutations import derived  # libcst: half a second that most trainings need not wait

    return derived(text, parsed).model
