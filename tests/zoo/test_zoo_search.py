"""A search that begins with pretrained weights, from the first training of the model to the last word."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from perplexity_support import pretrained

from foundry.data import dataset
from genome import Arena

ROOT = Path(__file__).parents[2]
TRAINING = {"learning_rate": 3e-3, "min_lr": 3e-4, "max_iters": 150, "batch_size": 16}
RUN = ["--generations", "2", "--population", "3", "--tokens", "10000", "--finalists", "1"]


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200", "PYTHONPATH": str(ROOT)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.slow
def test_a_search_goes_from_a_checkpoint_to_a_confirmed_champion(tmp_path: Path) -> None:
    """As a user would: train, export for Hugging Face, and search from what was exported."""
    (tmp_path / "text.txt").write_text(dataset.read_text("shakespeare_char")[:60_000])
    pretrained(tmp_path / "random")
    run(tmp_path, "-m", "foundry.zoo", "random")
    settings = [f"training.{name}={value}" for name, value in TRAINING.items()]
    asked = ["data.dataset=text.txt", *settings, "training.gradient_accumulation_steps=1"]
    run(tmp_path, "-m", "foundry.train", "experiments/random.yaml", *asked, "--threads=1", "--out=trained")
    run(tmp_path, "-m", "foundry.export", "trained", "--hf", "tiny")

    begin = ["--seed-model", "zoo:tiny", "--dataset", "text.txt", "--operators", "learning_rate"]
    report = run(tmp_path, str(ROOT / "evolve.py"), *begin, *RUN, "--workers=1", "--arena=arena")

    losses = re.findall(r"g000-0000-seed .*val_confirm ([\d.]+) nats per token", report)
    assert all(float(loss) < 3.2 for loss in losses)  # of random weights it is ln(261), 5.6
    assert "beats the seed model" in report  # which learns gently; faster is better here
    share = re.search(r"The checkpoint gave ([\d,]+) of ([\d,]+) parameters of g00\S+ \(100.0%\)", report)
    assert share is not None
    with Arena.open(tmp_path / "arena") as arena:
        found = [note for note in arena.notes().values() if "inherited" in note]
    assert len(found) > 1
    assert {note["inherited"] for note in found} == {share[1].replace(",", "")}
    assert {note["params"] for note in found} == {share[2].replace(",", "")}
