"""`foundry compare`: real trainings, paired by seed."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.stats import binomtest

from foundry.cli import main
from foundry.cli.compare import verdict
from foundry.cli.curves import POINTS, Curve, draw
from foundry.cli.paired import LEVEL, Outcomes, result, side, train
from foundry.cli.prepared import prepare
from foundry.data.dataset import read_text
from foundry.trial.pool import Pool
from population.statistics import compare, two_sided

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


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Compare a learning rate that is too low with one that is not; return the JSON that is printed."""
    folder = tmp_path_factory.mktemp("found")
    (folder / "text.txt").write_text(read_text("shakespeare_char")[:8_000])
    slow = experiment_file(folder, "slow", learning_rate="1.0e-4", min_lr="1.0e-4")
    with redirect_stdout(io.StringIO()) as printed:
        assert main(["compare", slow, experiment_file(folder, "fast"), "--seeds", "2", "--json"]) == 0
    body: dict[str, Any] = json.loads(printed.getvalue())
    return body


def test_a_large_difference_is_found_and_explained(found: dict[str, Any]) -> None:
    assert found["difference"]["mean_difference"] < -0.1
    assert found["difference"]["p_value_two_sided"] < 0.05
    assert found["difference"]["beyond_noise"]
    assert found["b"]["perplexity"] < found["a"]["perplexity"]
    assert len(found["a"]["losses"]) == 2


def test_curves_are_points_on_the_same_trainings(
    found: dict[str, Any], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, picture = experiment_file(folder, "fast"), folder / "curves.svg"
    assert main(["compare", path, path, "--seeds", "2", "--curves", str(picture)]) == 0
    shown = capsys.readouterr()
    assert f" {found['b']['loss']:.4f} " in shown.out
    assert "No difference beyond noise: +0.0000" in shown.out
    assert max(len(line) for line in shown.out.splitlines()) <= 80
    assert len(shown.err.splitlines()) == 2 * POINTS  # the two are one experiment, and are trained once
    assert path in texts(picture)


def test_what_cannot_be_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = experiment_file(folder, "one")
    (folder / "other").mkdir()
    (folder / "other" / "text.txt").write_text(read_text("shakespeare_char")[1_000:9_000])
    other = experiment_file(folder / "other", "other")
    assert main(["compare", one, other]) == 2
    assert main(["compare", one, one, "--seeds", "1"]) == 2
    assert main(["compare", one, "nowhere.yaml"]) == 2
    for picture in ("curves.pdf", "nowhere/curves.svg"):
        assert main(["compare", one, one, "--curves", str(folder / picture)]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert [line.split(": ", 1)[0] for line in errors] == ["foundry compare"] * 5
    assert "different data" in errors[0]
    assert "drawn as .svg or .png" in errors[3]
    assert "No such file or directory" in errors[4]
    assert not (folder / "curves.pdf").exists()


def texts(picture: Path) -> list[str]:
    """Return every text of an SVG."""
    elements = ElementTree.parse(picture).iter("{http://www.w3.org/2000/svg}text")
    return [element.text or "" for element in elements]


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_the_same_curves_give_the_same_picture(suffix: str, tmp_path: Path) -> None:
    curves = [
        Curve("one$", (100, 200, 300), ((3.0, 2.5, 2.2), (3.1, 2.4, 2.3))),
        Curve("$other", (150, 300), ((3.0, 2.0), (2.8, 2.1))),
    ]
    pictures = [tmp_path / f"{name}{suffix}" for name in ("first", "second")]
    for picture in pictures:
        draw(picture, curves)
    assert pictures[0].read_bytes() == pictures[1].read_bytes()
    if suffix == ".svg":
        labels = {"one$", "$other", "training tokens", "loss on val_confirm (nats per token)"}
        assert labels <= set(texts(pictures[0]))
    else:
        assert pictures[0].read_bytes().startswith(b"\x89PNG")


def test_the_mean_of_a_curve_is_over_its_seeds() -> None:
    assert Curve("a", (1, 2), ((4.0, 2.0), (2.0, 1.0))).means == [3.0, 1.5]


def differences_claimed(worlds: list[tuple[list[float], list[float]]]) -> int:
    """Count the comparisons that call a difference one."""
    verdicts = [verdict("b", compare(b, a), two_sided(b, a)) for a, b in worlds]
    return sum(not words.startswith("No difference") for words in verdicts)


@pytest.mark.parametrize("seeds", [3, 5])
def test_without_an_effect_differences_are_claimed_at_the_promised_rate(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    shared = rng.normal(1.9, 0.015, (600, seeds))  # by seed, in both: what pairing takes out
    a, b = (shared + rng.normal(0, 0.009, (600, seeds)) for _ in "ab")
    claimed = differences_claimed([(list(x), list(y)) for x, y in zip(a, b, strict=True)])
    assert binomtest(claimed, 600, LEVEL).pvalue > 1e-3


@pytest.mark.slow
def test_identical_trainings_with_different_seeds_are_no_difference(folder: Path) -> None:
    path = experiment_file(folder, "alone")
    trained = side(prepare(Path(path).read_text(), path), 40)
    outcomes: Outcomes = {}
    with Pool(2, checkpoints=folder / "checkpoints") as pool:
        train([trained], pool, outcomes, lambda *_: None)
    losses, rng = result(trained, outcomes).losses, np.random.default_rng(0)
    assert len(set(losses)) == 40
    drawn = [rng.choice(losses, 10, replace=False) for _ in range(500)]  # five seeds against five others
    claimed = differences_claimed([(list(each[:5]), list(each[5:])) for each in drawn])
    print(f"differences claimed between identical trainings: {claimed} of {len(drawn)}")
    assert 0 < claimed / len(drawn) < LEVEL * 2
