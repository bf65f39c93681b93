"""A training in its folder: stopped at any moment it goes on as if it had not been."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from safetensors.torch import load_file
from training_helpers import SIZES, differing, recipe

from foundry.data.dataset import load
from foundry.data.settings import Data
from foundry.seed import read_model
from foundry.training.explosion import PATIENCE
from foundry.training.loop import DivergedError
from foundry.training.session import Session

TEXT = "if music be the food of love, play on; give me excess of it.\n" * 30


def session(folder: Path, **training: object) -> Session:
    """Make a training of 9 updates with dropout, evaluated after every third, in a folder of its own."""
    folder.mkdir(exist_ok=True)
    (text := folder.parent / "text.txt").write_text(TEXT)
    args = {name: value for name, value in SIZES.items() if name != "vocab_size"} | {"dropout": 0.2}
    experiment = recipe(**{"max_iters": 9, "eval_interval": 3, "optimizer": "muon", **training})
    data = load(Data(dataset=str(text)))
    return Session(replace(experiment, model_args=args), read_model("v1"), data, folder, seed=1)


def finish(training: Session) -> list[tuple[int, float, float]]:
    """Go on to the end and return all that was measured."""
    training.resume()
    for _ in training.updates():
        pass
    return [(e.step, e.train_loss, e.val_loss) for e in training.record.evaluations]


@pytest.mark.parametrize("gradient_checkpointing", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_stopped_after_any_update_it_ends_the_same(
    dtype: str, gradient_checkpointing: bool, tmp_path: Path
) -> None:
    settings = {"dtype": dtype, "gradient_checkpointing": gradient_checkpointing}
    whole = finish(session(tmp_path / "whole", **settings))
    assert [step for step, _, _ in whole] == [3, 6, 9]
    for stop in range(1, 9):
        first = session(tmp_path / f"{stop}", **settings)
        assert len(list(islice(first.updates(), stop))) == stop
        first.save()
        assert finish(session(tmp_path / f"{stop}", **settings)) == whole
        for name in ("latest.safetensors", "best.safetensors"):
            assert not differing(load_file(tmp_path / f"{stop}" / name), load_file(tmp_path / "whole" / name))


def test_killed_between_the_line_and_the_checkpoint_it_ends_the_same(tmp_path: Path) -> None:
    whole = finish(session(tmp_path / "whole"))
    list(islice(session(tmp_path / "parts").updates(), 3))
    (tmp_path / "parts" / "latest.safetensors").unlink()
    assert finish(session(tmp_path / "parts")) == whole
    assert len((tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()) == 3


def test_an_exploding_loss_stops_it_and_the_last_good_checkpoint_stays(tmp_path: Path) -> None:
    wild = {"optimizer": "adamw", "learning_rate": 3.0, "grad_clip": 0.0, "schedule": "constant"}
    training = session(tmp_path / "wild", **wild, warmup_iters=6, max_iters=200, eval_interval=2)
    with pytest.raises(DivergedError, match=rf"was above \d\.\d\d for {PATIENCE} updates in a row") as error:
        for _ in training.updates():
            pass
    first_bad = error.value.step - PATIENCE + 1
    assert training.saved is not None
    assert training.saved <= first_bad
    assert training.record.evaluations[-1].step > training.saved
    again = session(tmp_path / "wild", **wild, warmup_iters=6, max_iters=200, eval_interval=2)
    again.resume()
    assert again.step == training.saved
