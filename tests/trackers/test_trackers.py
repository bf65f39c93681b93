"""What every tracker promises, and what a training tells it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest

from foundry import trackers
from foundry.data.dataset import load
from foundry.data.settings import Data
from foundry.errors import UserError
from foundry.registry import module_names
from foundry.seed import read_model
from foundry.training.experiment import Experiment, Training
from foundry.training.session import Session

SIZES = {"n_layer": 1, "n_head": 2, "n_embd": 8, "block_size": 8, "dropout": 0.0, "bias": False}
Points = dict[str, list[tuple[int, float]]]


def tensorboard(folder: Path) -> Points:
    """Read back what TensorBoard would show."""
    from tensorboard.backend.event_processing import event_accumulator as accumulator

    events = accumulator.EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return {name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}


READERS: Mapping[str, Callable[[Path], Points]] = {"tensorboard": tensorboard}


@pytest.fixture(params=module_names("foundry/trackers"))
def name(request: pytest.FixtureRequest) -> str:
    """Name each tracker whose package is here."""
    pytest.importorskip(request.param)
    return str(request.param)


def test_points_come_back_as_they_were_given(name: str, tmp_path: Path) -> None:
    with closing(trackers.start(name, tmp_path, 0)) as tracker:
        tracker.log(1, {"loss": 0.5, "rate": 100.0})
        tracker.log(2, {"loss": 0.25})
    assert READERS[name](tmp_path) == {"loss": [(1, 0.5), (2, 0.25)], "rate": [(1, 100.0)]}


@pytest.mark.parametrize("resumed_at", [0, 3, 5])
def test_a_training_that_goes_on_leaves_each_point_once(name: str, resumed_at: int, tmp_path: Path) -> None:
    for first in (0, resumed_at):
        with closing(trackers.start(name, tmp_path, first)) as tracker:
            for step in range(first + 1, 6 if first == 0 else 9):
                tracker.log(step, {"loss": float(step)})
    assert READERS[name](tmp_path)["loss"] == [(s, float(s)) for s in range(1, 6 if resumed_at == 0 else 9)]


class Noted:
    """A tracker that keeps what it is told."""

    def __init__(self) -> None:
        self.points: list[tuple[int, dict[str, float]]] = []

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self.points.append((step, dict(values)))

    def close(self) -> None:
        pass


def test_a_training_tells_its_loss_always_and_its_scores_when_it_evaluates(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("to be, or not to be, that is the question.\n" * 40)
    experiment = Experiment(model_args=SIZES, training=Training(max_iters=6, eval_interval=2, batch_size=2))
    data = load(Data(dataset=str(tmp_path / "text.txt")))
    session = Session(experiment, read_model("v1"), data, tmp_path, 0)
    noted = Noted()
    session.trackers.append(noted)
    losses = [loss for _, loss in islice(session.updates(), 4)]
    assert [step for step, _ in noted.points] == [1, 2, 2, 3, 4, 4]
    assert [values["train_loss"] for _, values in noted.points if "train_loss" in values] == losses
    scores = [values for _, values in noted.points if "val_loss" in values]
    assert [values["val_loss"] for values in scores] == [e.val_loss for e in session.record.evaluations]
    assert scores[0].keys() == {"val_loss", "bits_per_byte", "tokens_per_second"}


def test_an_unknown_tracker_is_a_mistake_in_words(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown tracker 'tensorbord': did you mean 'tensorboard'?"):
        trackers.start("tensorbord", tmp_path, 0)


def test_a_missing_package_is_named_with_the_command_that_installs_it(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; sys.modules['tensorboard'] = None; from foundry import trackers\n"
        f"trackers.start('tensorboard', pathlib.Path({str(tmp_path)!r}), 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == (
        "foundry.errors.UserError: the tracker tensorboard needs its package: pip install -e '.[tensorboard]'"
    )
    assert not list(tmp_path.iterdir())
