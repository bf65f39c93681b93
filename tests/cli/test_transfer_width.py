"""`foundry transfer --width`: a champion and its seed model, made wider by the experiment alone."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from foundry.cli.transfer import main
from foundry.data import dataset
from foundry.data.settings import Data
from foundry.trial.job import Job
from foundry.trial.outcome import Outcome, Scored
from foundry.trial.pool import Pool

ROOT = Path(__file__).parents[2]
TOKENS = 2400
SEEDS = (0, 1)
WIDER = {"n_embd: 32": "n_embd: 64", "n_head: 2": "n_head: 4"}
SIDES = {"the seed model": "candidate/g000-0000-seed", "the champion": "champion"}


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(dataset.read_text("shakespeare_char")[:20_000])
    return path


@pytest.fixture(scope="module")
def arena(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose seed model learns far too slowly, so that its champion is another candidate."""
    folder = tmp_path_factory.mktemp("run")
    micro = (ROOT / "experiments" / "micro.yaml").read_text().replace("shakespeare_char", str(text))
    (folder / "slow.yaml").write_text(
        micro.replace("3.0e-3", "3.0e-4").replace("min_lr: 3.0e-4", "min_lr: 3.0e-5")
    )
    plan = f"--generations 1 --population 3 --tokens {TOKENS} --finalists 1 --operators learning_rate"
    command = [sys.executable, ROOT / "evolve.py", *plan.split(), "--experiment", folder / "slow.yaml"]
    subprocess.run([*command, "--arena", folder / "arena"], cwd=ROOT, check=True, capture_output=True)
    return folder / "arena"


def file_of(arena: Path, branch: str, name: str) -> str:
    command = ["git", "-C", str(arena), "show", f"{branch}:{name}"]
    return subprocess.run(command, check=True, text=True, capture_output=True).stdout


def by_hand(arena: Path, text: Path) -> dict[tuple[str, int], str]:
    """Train what is widened here, and return the losses as they are printed."""
    sha256 = dataset.load(Data(dataset=str(text))).sha256
    found = {}
    with Pool(1, checkpoints=arena.parent / "by-hand") as pool:
        for side, branch in SIDES.items():
            experiment = file_of(arena, branch, "experiment.yaml")
            for old, new in WIDER.items():
                assert old in experiment
                experiment = experiment.replace(old, new)
            model = file_of(arena, branch, "model.py")
            for seed in SEEDS:
                spent = {"until": TOKENS, "budget": TOKENS, "split": "val_confirm"}
                pool.start("it", Job(model=model, experiment=experiment, data=sha256, seed=seed, **spent))
                outcome = next(outcome for _, outcome in _waited(pool))
                assert isinstance(outcome, Scored)
                found[side, seed] = f"{outcome.loss:.4f}"
    return found


def _waited(pool: Pool) -> Iterator[tuple[str, Outcome]]:
    while True:
        yield from pool.finished(timeout=0.5)


@pytest.mark.slow
def test_champion_and_seed_model_are_trained_twice_as_wide(
    arena: Path, text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(arena), "--width", "2", "--seeds", str(len(SEEDS))]) == 0
    shown = capsys.readouterr()
    lines = re.findall(r"^\d/4  ([a-z ]+)  seed (\d)  (\d\.\d{4}) nats per token$", shown.err, re.MULTILINE)
    losses = {(side, int(seed)): loss for side, seed, loss in lines}
    assert losses == by_hand(arena, text)
    assert all(losses["the champion", seed] < losses["the seed model", seed] for seed in SEEDS)
    gain = sum(float(losses["the champion", s]) - float(losses["the seed model", s]) for s in SEEDS) / 2
    said = re.search(r"(-\d\.\d{4}) nats per token, 95% interval", " ".join(shown.out.split()))
    assert said is not None
    assert float(said[1]) == pytest.approx(gain, abs=1.1e-4)


@pytest.mark.slow
def test_a_champion_that_is_the_seed_model_has_nothing_to_be_compared_with(
    arena: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "arena"
    subprocess.run(["cp", "-r", str(arena), str(copy)], check=True)
    subprocess.run(
        ["git", "-C", str(copy), "update-ref", "refs/heads/champion", "refs/heads/candidate/g000-0000-seed"],
        check=True,
    )
    assert main([str(copy), "--width", "2"]) == 2
    assert "has no champion but its seed model" in capsys.readouterr().err
