"""`foundry mutate`: an experiment that is another with one edit made, and the source that it names."""

from __future__ import annotations

from pathlib import Path

import pytest

import operators
from foundry.cli import main
from foundry.cli.mutations import derived
from foundry.cli.sweep_plan import plan_sweep
from foundry.data.dataset import read_text
from foundry.training import experiment
from operators import Source

ROOT = Path(__file__).parents[2]
V1 = (ROOT / "foundry" / "models" / "v1.py").read_text()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "micro.yaml"
    path.write_text((ROOT / "experiments" / "micro.yaml").read_text())
    return path


def source_of(path: Path) -> Source:
    return derived(path.read_text(), experiment.parse(path.read_text()))


def test_an_edit_of_the_model_is_named_and_derived_again(base: Path) -> None:
    assert main(["mutate", "swap_activation", "relu2", "--base", str(base)]) == 0
    written = base.with_name("swap_activation_relu2.yaml")
    text = written.read_text()
    assert "by `foundry mutate swap_activation relu2`" in text.splitlines()[0]
    assert experiment.parse(text).mutations == ("swap_activation relu2 @ MLP:gelu",)
    assert set(base.read_text().splitlines()) - set(text.splitlines()) == {"name: micro"}
    assert "F.relu(x).square()" in source_of(written).model


def test_mutations_compose_in_their_order(base: Path) -> None:
    assert main(["mutate", "position", "rope", "--base", str(base)]) == 0
    first = base.with_name("position_rope.yaml")
    assert main(["mutate", "insert_qknorm", "rms", "--base", str(first), "--name", "both"]) == 0
    both = base.with_name("both.yaml")
    assert [m.split()[0] for m in experiment.parse(both.read_text()).mutations] == [
        "position",
        "insert_qknorm",
    ]
    by_hand = Source(V1, base.read_text())
    for name, variant in (("position", "rope"), ("insert_qknorm", "rms")):
        edit = next(e for e in operators.load()[name].sites(by_hand) if e.variant == variant)
        by_hand = operators.apply(by_hand, edit)
    assert source_of(both).model == by_hand.model


def test_an_edit_of_the_experiment_needs_no_mutation(base: Path) -> None:
    assert main(["mutate", "learning_rate", "x2", "--base", str(base)]) == 0
    parsed = experiment.parse(base.with_name("learning_rate_x2.yaml").read_text())
    assert parsed.training.learning_rate == pytest.approx(6e-3)
    assert (parsed.mutations, parsed.name) == ((), "learning_rate_x2")


def test_a_mutated_experiment_trains_what_it_names(base: Path, tmp_path: Path) -> None:
    (text := tmp_path / "text.txt").write_text(read_text("shakespeare_char")[:6_000])
    assert main(["mutate", "swap_norm", "rmsnorm", "--base", str(base)]) == 0
    settings = [f"data.dataset={text}", "training.max_iters=4", "--threads=1", "--out", str(tmp_path / "out")]
    assert main(["train", str(base.with_name("swap_norm_rmsnorm.yaml")), *settings]) == 0
    assert "class RMSNorm" in (tmp_path / "out" / "model.py").read_text()


def test_where_the_baseline_has_no_place_an_experiment_beside_it_may(
    base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(base.parent)
    folder = base.parent / "experiments"
    folder.mkdir()
    (folder / "baseline.yaml").write_text(base.read_text())
    (folder / "adapters.yaml").write_text(base.read_text() + "lora: {rank: 16}\n")
    (folder / "a-broken-one.yaml").write_text("lora: {rank: [}")
    assert main(["mutate", "lora_rank", "8"]) == 0
    shown = capsys.readouterr().out
    assert "no place in experiments/baseline.yaml, so the base is experiments/adapters.yaml." in shown
    assert "lora: {rank: 8}" in (folder / "lora_rank_8.yaml").read_text()
    assert main(["mutate", "swap_activation", "relu2"]) == 0
    assert "so the base is" not in capsys.readouterr().out
    assert main(["mutate", "lora_rank", "16"]) == 2
    assert "lora_rank 16 is what is there already" in capsys.readouterr().err
    plan = plan_sweep("experiments/adapters.yaml", "lora_rank", ["8", "16", "32"], None, 2)
    assert list(plan.variants) == ["8", "32"]  # the baseline is the third


def test_a_dry_run_shows_and_writes_nothing(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mutate", "depth", "plus-1", "--base", str(base), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "+  n_layer: 3" in shown
    assert [path.name for path in base.parent.iterdir()] == ["micro.yaml"]


def test_list_shows_every_operator(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mutate", "--list", "--base", str(base)]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in operators.load())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["swap_activaton", "relu2"], "did you mean 'swap_activation'?"),
        (["swap_activation", "relu3"], "did you mean 'relu'?"),
        (["muon_lr", "x2"], "muon_lr finds nothing to change here"),
        (["perturb_literal", "x2"], "choose one with --site: GPT.__init__:0.02"),
        (["perturb_literal", "x2", "--site", "GPT.__init__:0.03"], "did you mean 'GPT.__init__:0.02'?"),
    ],
)
def test_mistakes(
    arguments: list[str], sentence: str, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["mutate", *arguments, "--base", str(base)]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.splitlines()) == 1
    assert [path.name for path in base.parent.iterdir()] == ["micro.yaml"]


def test_an_experiment_is_not_overwritten(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mutate", "depth", "plus-1", "--base", str(base)]) == 0
    assert main(["mutate", "depth", "plus-1", "--base", str(base)]) == 2
    assert "exists already" in capsys.readouterr().err
