"""`foundry sample`: from a folder, from a candidate by name, and mistakes as sentences."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from foundry.cli import main
from foundry.cli.run import LEDGER, begin, plan_of, plan_run
from foundry.cli.sample import find
from foundry.data.dataset import read_text
from foundry.training import score
from foundry.trial.job import Job
from foundry.trial.outcome import Scored
from foundry.trial.pool import Pool
from genome import Arena
from population.ledger import Ledger

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "text.txt"
    path.write_text(read_text("shakespeare_char")[:6_000])
    return path


@pytest.fixture(scope="module")
def folder(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("train") / "micro"
    settings = [f"data.dataset={text}", "training.max_iters=20", "training.eval_interval=10"]
    arguments = [
        "train",
        str(ROOT / "experiments" / "micro.yaml"),
        *settings,
        "--threads=1",
        "--out",
        str(path),
    ]
    assert main(arguments) == 0
    return path


@pytest.fixture(scope="module")
def arena(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has trained nothing yet; its seed model wears the crown."""
    path = tmp_path_factory.mktemp("runs") / "evolve"
    experiment = str(ROOT / "experiments" / "micro.yaml")
    run = begin(str(path), plan_run(experiment_path=experiment, data=str(text), tokens=8_000, seed=4))
    run.arena.crown(run.seed)
    run.close()
    return path


def sample(*arguments: object, capsys: pytest.CaptureFixture[str], code: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    assert main(["sample", *map(str, arguments), "--threads=1"]) == code
    shown = capsys.readouterr()
    return shown.out, shown.err


def test_a_folder_writes_the_same_with_and_without_a_cache(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = sample(folder, "--tokens=70", "--prompt=The ", capsys=capsys)
    assert out.startswith("The ")
    assert len(out) == len("The ") + 70 + 1
    assert "70 tokens, " in err
    assert "tok/s (KV cache: 512 bytes per token)" in err  # keys and values, 2 layers of 32 float32 each
    plain, err = sample(folder, "--tokens=70", "--prompt=The ", "--no-cache", capsys=capsys)
    assert plain == out
    assert "tok/s (no KV cache)" in err
    other, _ = sample(folder, "--tokens=70", "--prompt=The ", "--seed=1", capsys=capsys)
    assert other != out


def test_several_samples_and_a_prompt_from_a_file(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (prompt := tmp_path / "prompt.txt").write_text("you")
    arguments = [
        folder,
        "--prompt-file",
        prompt,
        "--tokens=20",
        "--temperature=1",
        "--top-k=9",
        "--top-p=0.9",
    ]
    one, _ = sample(*arguments, capsys=capsys)
    two, err = sample(*arguments, "--samples=2", capsys=capsys)
    assert two.startswith(one)
    assert two.removeprefix(one).startswith("--------------------\nyou")
    assert "40 tokens" in err


def test_latest_is_another_checkpoint_than_best(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(folder, changed := folder.parent / "changed")
    (changed / "best.safetensors").unlink()
    latest = sample(changed, "--checkpoint=latest", "--tokens=5", capsys=capsys)[0]
    assert latest == sample(folder, "--checkpoint=latest", "--tokens=5", capsys=capsys)[0]
    assert "has no best.safetensors yet" in sample(changed, capsys=capsys, code=2)[1]


def test_a_candidate_is_trained_once_more_and_then_kept(
    arena: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, err = sample("champion", "--arena", arena, "--tokens=30", capsys=capsys)
    assert "as its trial did" in err
    again, err = sample("champion", "--arena", arena, "--tokens=30", capsys=capsys)
    assert again == first
    assert "as its trial did" not in err
    kept = next((arena / ".git" / "foundry" / "weights").iterdir())
    kept.write_bytes(kept.read_bytes()[:100])  # damaged
    assert sample("champion", "--arena", arena, "--tokens=30", capsys=capsys)[0] == first
    assert "unknown candidate 'g9'" in sample("g9", "--arena", arena, capsys=capsys, code=2)[1]


def test_the_weights_of_a_candidate_are_those_of_its_trial(arena: Path, tmp_path: Path) -> None:
    with Arena.open(arena) as opened, Ledger.read(opened.state / LEDGER) as ledger:
        files, plan = opened.files(opened.candidates()[0]), plan_of(ledger)
    job = Job(
        model=files["model.py"],
        experiment=files["experiment.yaml"],
        data=plan.data,
        seed=4,
        until=8_000,
        budget=8_000,
        gated=False,
    )
    with Pool(1, checkpoints=tmp_path) as pool:
        pool.start("trial", job)
        while not (ended := dict(pool.finished(timeout=1.0))):
            pass
    outcome = ended["trial"]
    assert isinstance(outcome, Scored)
    found = find("0", arena=str(arena), checkpoint="best")
    tokens = torch.from_numpy(found.dataset.splits["val_search"].tokens.astype("int32"))
    model = found.model(lambda done, total: None)
    assert score.cross_entropy(model, tokens, block_size=32) == outcome.loss


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--prompt=é"], "the prompt does not fit"),
        (["--prompt="], "the prompt is empty"),
        (["--prompt-file=nowhere.txt"], "prompt file 'nowhere.txt' cannot be read"),
    ],
)
def test_mistakes(
    arguments: list[str], sentence: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, err = sample(folder, *arguments, capsys=capsys, code=2)
    assert sentence in err
    assert len(err.splitlines()) == 1


def test_there_is_nothing_of_that_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = ["--arena", tmp_path]
    assert "holds no training" in sample(tmp_path, capsys=capsys, code=2)[1]
    assert "there is no folder runs/nowhere" in sample("runs/nowhere", *empty, capsys=capsys, code=2)[1]
    assert "is no arena" in sample("champion", *empty, capsys=capsys, code=2)[1]


def test_data_that_has_changed_since(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder, moved := tmp_path / "moved")
    (other := tmp_path / "other.txt").write_text("0123456789" * 1000)
    experiment = (moved / "experiment.yaml").read_text()
    lines = [f"  dataset: {other}" if "dataset:" in line else line for line in experiment.splitlines()]
    (moved / "experiment.yaml").write_text("\n".join(lines))
    _, err = sample(moved, "--prompt=1", capsys=capsys, code=2)
    assert "vocabulary" in err
    assert len(err.splitlines()) == 1
