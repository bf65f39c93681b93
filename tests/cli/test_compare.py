"""`foundry compare`: real trainings, paired by seed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foundry.cli import main
from foundry.data.dataset import read_text

ROOT = Path(__file__).parents[2]


def experiment_file(folder: Path, name: str, **changes: str) -> str:
    text = (ROOT / "experiments" / "micro.yaml").read_text().replace("name: micro", f"name: {name}")
    for old, new in {"shakespeare_char": str(folder / "text.txt"), "max_iters: 90": "max_iters: 30"}.items():
        text = text.replace(old, new)
    for key, value in changes.items():
        assert f"  {key}: " in text
        text = "\n".join(f"  {key}: {value}" if f"  {key}: " in line else line for line in text.split("\n"))
    (folder / f"{name}.yaml").write_text(text)
    return str(folder / f"{name}.yaml")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text(read_text("shakespeare_char")[:8_000])
    return tmp_path


def test_a_large_difference_is_found_and_explained(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slow = experiment_file(folder, "slow", learning_rate="1.0e-4", min_lr="1.0e-4")
    assert main(["compare", slow, experiment_file(folder, "fast"), "--seeds", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["difference"]["mean_difference"] < -0.1
    assert found["difference"]["p_value_two_sided"] < 0.05
    assert found["b"]["perplexity"] < found["a"]["perplexity"]
    assert len(found["a"]["losses"]) == 3


def test_the_same_experiment_twice_is_no_difference(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = experiment_file(folder, "one"), experiment_file(folder, "other")
    assert main(["compare", one, other, "--seeds", "2"]) == 0
    shown = capsys.readouterr().out
    assert "No difference beyond noise: +0.0000" in shown
    assert max(len(line) for line in shown.splitlines()) <= 80


def test_what_cannot_be_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = experiment_file(folder, "one")
    (folder / "other").mkdir()
    (folder / "other" / "text.txt").write_text(read_text("shakespeare_char")[1_000:9_000])
    other = experiment_file(folder / "other", "other")
    assert main(["compare", one, other]) == 2
    assert main(["compare", one, one, "--seeds", "1"]) == 2
    assert main(["compare", one, "nowhere.yaml"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert [line.split(": ", 1)[0] for line in errors] == ["foundry compare"] * 3
    assert "different data" in errors[0]
