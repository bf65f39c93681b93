"""Several processes train as one does: the same losses, the same files, the same end."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from training_helpers import SIZES, VOCABULARY, random_tokens, recipe, together

from foundry.data.batches import Blocks
from foundry.data.dataset import load
from foundry.data.settings import Data
from foundry.errors import UserError
from foundry.seed import read_model
from foundry.training import distributed
from foundry.training.experiment import Experiment, Training
from foundry.training.loop import DivergedError, build_optimizers, updates
from foundry.training.record import Evaluation, Record
from foundry.training.session import Session
from foundry.training.world import ALONE, World

WAYS = pytest.mark.parametrize("fsdp_above", [10**9, 100], ids=["ddp", "fsdp"])
TEXT = "the quick brown fox jumps over the lazy dog, and the dog sleeps on.\n" * 30


def settings(**training: object) -> Experiment:
    """Make an experiment of 12 updates, each of four forward passes, on a text to be named."""
    defaults = {"gradient_accumulation_steps": 4, "eval_interval": 4, "max_iters": 12, "learning_rate": 1e-2}
    return recipe(**{**defaults, **training})


@pytest.fixture
def text(tmp_path: Path) -> Path:
    (path := tmp_path / "text.txt").write_text(TEXT)
    return path


def session(world: World, folder: Path, text: Path, experiment: Experiment, **sizes: object) -> Session:
    """Begin or go on with the training in a folder."""
    folder.mkdir(exist_ok=True)
    args = {name: value for name, value in {**SIZES, **sizes}.items() if name != "vocab_size"}
    data = load(Data(dataset=str(text)))
    made = Session(replace(experiment, model_args=args), read_model("v1"), data, folder, seed=3, world=world)
    made.resume()
    return made


def run(world: World, folder: Path, text: Path, experiment: Experiment, dropout: float = 0.0) -> None:
    for _ in session(world, folder, text, experiment, dropout=dropout).updates():
        pass


def run_five(world: World, folder: Path, text: Path, experiment: Experiment, dropout: float = 0.0) -> None:
    stopped = session(world, folder, text, experiment, dropout=dropout)
    assert [step for step, _ in islice(stopped.updates(), 5)] == [1, 2, 3, 4, 5]
    stopped.save()


def measured(folder: Path) -> list[Evaluation]:
    record = Record(folder / "metrics.jsonl", writes=False)
    record.go_back(12)
    return [replace(evaluation, tokens_per_second=0.0) for evaluation in record.evaluations]


def assert_alike(one: Path, other: Path) -> None:
    """Check that two trainings measured the same and ended with the same tensors, up to rounding."""
    assert len(measured(one)) == 3
    for a, b in zip(measured(one), measured(other), strict=True):
        assert (a.step, a.tokens) == (b.step, b.tokens)
        assert a.train_loss == pytest.approx(b.train_loss, rel=1e-5)
        assert a.val_loss == pytest.approx(b.val_loss, rel=1e-5)
    for name in ("latest.safetensors", "best.safetensors"):
        torch.testing.assert_close(load_file(one / name), load_file(other / name), rtol=1e-3, atol=1e-4)


@WAYS
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_two_processes_give_the_curve_and_the_files_of_one(
    optimizer: str, fsdp_above: int, text: Path, tmp_path: Path
) -> None:
    experiment = settings(optimizer=optimizer, fsdp_above=fsdp_above)
    run(ALONE, tmp_path / "one", text, experiment)
    together(run, tmp_path / "two", text, experiment)
    assert_alike(tmp_path / "one", tmp_path / "two")


@WAYS
def test_stopped_and_resumed_by_two_equals_uninterrupted(fsdp_above: int, text: Path, tmp_path: Path) -> None:
    experiment = settings(optimizer="muon", fsdp_above=fsdp_above)
    together(run, tmp_path / "whole", text, experiment, 0.2)
    together(run_five, tmp_path / "parts", text, experiment, 0.2)
    together(run, tmp_path / "parts", text, experiment, 0.2)
    assert measured(tmp_path / "parts") == measured(tmp_path / "whole")
    one, other = (load_file(tmp_path / name / "latest.safetensors") for name in ("whole", "parts"))
    assert one.keys() == other.keys()
    assert all(one[name].equal(other[name]) for name in one)


@WAYS
def test_what_two_began_one_can_finish_and_the_other_way_round(
    fsdp_above: int, text: Path, tmp_path: Path
) -> None:
    experiment = settings(fsdp_above=fsdp_above)
    run(ALONE, tmp_path / "one", text, experiment)
    together(run_five, tmp_path / "first two", text, experiment)
    run(ALONE, tmp_path / "first two", text, experiment)
    run_five(ALONE, tmp_path / "then two", text, experiment)
    together(run, tmp_path / "then two", text, experiment)
    assert_alike(tmp_path / "one", tmp_path / "first two")
    assert_alike(tmp_path / "one", tmp_path / "then two")


@pytest.mark.slow
@WAYS
def test_blocks_computed_twice_change_nothing_in_two_processes(
    fsdp_above: int, text: Path, tmp_path: Path
) -> None:
    together(run, tmp_path / "once", text, settings(fsdp_above=fsdp_above), 0.2)
    twice = settings(fsdp_above=fsdp_above, gradient_checkpointing=True)
    together(run, tmp_path / "twice", text, twice, 0.2)
    assert measured(tmp_path / "once") == measured(tmp_path / "twice")


class NotFiniteOnOne(nn.Module):
    """Give NaN in the second process on its third forward pass."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(VOCABULARY))
        self.rank, self.calls = world.rank, 0

    def forward(self, idx: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        self.calls += 1
        logits = self.bias.expand(*idx.shape, VOCABULARY)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        return logits, loss * float("nan") if (self.rank, self.calls) == (1, 3) else loss


def diverge(world: World, folder: Path) -> None:
    experiment = settings()
    model = NotFiniteOnOne(world)
    optimizers = build_optimizers(model, experiment.training)
    replica = distributed.replicate(model, torch.device("cpu"))
    arguments = (replica, optimizers, Blocks(random_tokens()), experiment)
    losses = updates(*arguments, seed=0, steps=range(9), total=9, world=world)
    with pytest.raises(DivergedError, match="not finite at step 1"):
        list(losses)
    assert model.bias.isfinite().all()
    (folder / f"{world.rank}").touch()


def test_a_loss_that_diverges_in_one_process_stops_all(tmp_path: Path) -> None:
    together(diverge, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]


def say(world: World) -> None:
    assert distributed.mean(world, world.rank + 0.5) == 1.5
    assert distributed.first_says(world, world.rank + 0.25) == 0.25


def test_processes_agree_on_figures() -> None:
    together(say, size=3)
    assert distributed.mean(ALONE, 0.1) == distributed.first_says(ALONE, 0.1) == 0.1


@pytest.mark.parametrize(("n", "size"), [(1, 1), (4, 1), (4, 2), (6, 3), (8, 8)])
def test_forward_passes_that_can_be_dealt_out(n: int, size: int) -> None:
    assert complaint(Training(gradient_accumulation_steps=n), size) is None


def complaint(training: Training, size: int) -> str | None:
    """Return what a world of so many processes says against a training."""
    try:
        World(size=size).require(training)
    except UserError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("n", "batch_size", "size", "sentence"),
    [
        (
            *(1, 8, 2),
            "training.gradient_accumulation_steps 1 is not divisible by 2 processes; "
            "training.gradient_accumulation_steps=2 training.batch_size=4 gives the same batch",
        ),
        (3, 3, 2, "training.gradient_accumulation_steps 3 is not divisible by 2 processes"),
    ],
)
def test_forward_passes_that_cannot(n: int, batch_size: int, size: int, sentence: str) -> None:
    assert complaint(Training(gradient_accumulation_steps=n, batch_size=batch_size), size) == sentence


def test_a_world_is_read_from_what_torchrun_says() -> None:
    assert World.of({"HOME": "/", "WORLD": "3"}) == ALONE
    said = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
    assert World.of(said) == World(rank=5, size=8, local_rank=1, local_size=4)
    assert not World.of(said).first
