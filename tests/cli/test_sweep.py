"""`foundry sweep`: real trainings, killed and gone on with; the ranking; the promotion."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from foundry.cli import main
from foundry.cli.mutations import derived
from foundry.cli.paired import LEVEL, Outcomes, Result
from foundry.cli.promotion import promoted, replace_baseline
from foundry.cli.ranking import Ranked, lead_needed, rank, winner
from foundry.cli.sweep_folder import LEDGER, identity, open_folder
from foundry.cli.sweep_plan import plan_sweep
from foundry.cli.sweep_report import Report, as_json, promote, report, show
from foundry.data.dataset import read_text
from foundry.training.experiment import parse
from foundry.trial.outcome import Diverged, Rejected, Scored
from population.ledger import Ledger

ROOT = Path(__file__).parents[2]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A baseline that trains in well under a second, alone in its folder."""
    (tmp_path / "text.txt").write_text(read_text("shakespeare_char")[:8_000])
    text = (ROOT / "experiments" / "micro.yaml").read_text().replace("max_iters: 90", "max_iters: 30")
    (tmp_path / "experiments").mkdir()
    path = tmp_path / "experiments" / "micro.yaml"
    path.write_text(text.replace("shakespeare_char", str(tmp_path / "text.txt")))
    return path


def command(base: Path, *arguments: str) -> list[str]:
    out = ["--base", str(base), "--out", str(base.parent.parent / "out")]
    return ["sweep", *arguments, *out]


def begin(base: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a sweep in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "foundry", *command(base, *arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_killed_and_begun_again_it_repeats_nothing(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("optimizer", "muon", "--seeds", "3", "--jobs", "1")
    with begin(base, *words) as process:
        assert process.stderr is not None
        assert "1/6  micro  seed 0" in process.stderr.readline()
        process.kill()
    with Ledger.read(base.parent.parent / "out" / LEDGER) as ledger:
        before = ledger.outcomes()
    assert 1 <= len(before) < 6
    assert main(command(base, *words, "--promote", "--json")) == 0
    shown = capsys.readouterr()
    assert f"{len(before)} trainings are finished, {6 - len(before)} are not" in shown.err
    assert sum("  seed " in line for line in shown.err.splitlines()) == 6 - len(before)
    with Ledger.read(base.parent.parent / "out" / LEDGER) as ledger:
        assert ledger.outcomes()[: len(before)] == before
        assert len(ledger.outcomes()) == 6
    found = json.loads(shown.out)
    assert (found["promoted"], found["variants"][0]["variant"]) == ("muon", "muon")
    assert found["variants"][0]["difference"]["p_value_holm"] < LEVEL
    assert parse(base.read_text()).training.optimizer == "muon"
    assert (base.parent / "micro.before-muon.yaml").is_file()


def test_ctrl_c_says_how_to_go_on(base: Path) -> None:
    with begin(base, "optimizer", "muon", "--promote", "--seeds", "2") as process:
        assert process.stderr is not None
        assert "a winner is beyond noise only when ahead by 9.0 times" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert f"foundry sweep optimizer muon --promote --seeds 2 --base {base}" in rest


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["swap_activaton", "relu2"], "did you mean 'swap_activation'?"),
        (["swap_activaton", "all"], "did you mean 'swap_activation'?"),
        (["swap_activation", "relu", "relu3"], "did you mean 'relu'?"),
        (["muon_lr", "all"], "muon_lr finds nothing to change here"),
        (["perturb_literal", "all"], "choose one with --site: GPT.__init__:0.02"),
        (["perturb_literal", "all", "--site", "GPT.__init__:0.03"], "did you mean 'GPT.__init__:0.02'?"),
        (["swap_activation", "relu", "--seeds", "1"], "at least 2 seeds"),
    ],
)
def test_sweep_mistakes(
    arguments: list[str], sentence: str, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(base, *arguments)) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.splitlines()) == 1
    assert not (base.parent.parent / "out").exists()


def test_a_folder_of_something_else_is_left_alone(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_sweep(str(base), "swap_activation", ["relu", "silu"], None, 2)
    out = base.parent.parent / "out"
    sweep = identity("swap_activation", list(plan.variants), plan.sides, 900)
    for _ in range(2):
        open_folder(out, sweep, list(plan.mutants.values())).close()
    assert parse((out / "swap_activation_silu.yaml").read_text()).name == "swap_activation_silu"
    assert main(command(base, "swap_activation", "relu", "--seeds", "2")) == 2
    base.write_text(base.read_text().replace("batch_size: 8", "batch_size: 4"))
    assert main(command(base, "swap_activation", "silu", "relu", "--seeds", "2")) == 2
    (out / LEDGER).unlink()
    assert main(command(base, "swap_activation", "relu")) == 2
    words = f"{out} holds another sweep, swap_activation relu silu with 2 seeds of at most 900 s"
    assert capsys.readouterr().err.splitlines() == [
        f"foundry sweep: {words}: give another --out",
        f"foundry sweep: {words} of another baseline: give another --out",
        f"foundry sweep: {out} holds something else than a sweep: give another --out",
    ]


def scored(loss: float) -> Scored:
    return Scored(
        loss=loss,
        bits_per_byte=loss,
        params=1000,
        train_flops=1,
        work=1,
        tokens=1,
        tokens_per_second=1.0,
        seconds=1.0,
        train_seconds=1.0,
        kv_bytes_per_token=1,
        peak_memory=1,
    )


def of(name: str, losses: Iterable[float]) -> Result:
    return Result(name, tuple(map(scored, losses)))


def ranked(*variants: Sequence[float], tried: int | None = None) -> list[Ranked]:
    """Rank variants v0, v1 … that are ahead of the baseline, or behind it, by so much with each seed."""
    baseline = np.array([2.0, 2.1, 1.9, 2.05])[: len(variants[0])]
    results = {f"v{i}": of(f"v{i}", list(baseline + np.array(v))) for i, v in enumerate(variants)}
    return rank(of("baseline", list(baseline)), results, tried or len(variants))


def test_the_lowest_loss_comes_first_and_p_counts_every_variant() -> None:
    found = ranked([0.01, 0.02, 0.015], [-0.1, -0.11, -0.12], [-0.01, 0.02, -0.03])
    assert [each.variant for each in found] == ["v1", "v2", "v0"]
    best = found[0]
    assert best.p_adjusted == pytest.approx(3 * best.p_value)
    assert best.beyond_noise
    failed = ranked([-0.1, -0.11, -0.12], tried=3)[0]
    assert (failed.p_value, failed.p_adjusted) == pytest.approx((best.p_value, best.p_adjusted))


def test_the_winner_is_better_beyond_noise_unless_forced() -> None:
    within, beyond = [-0.3, 0.1, -0.1], [-0.02, -0.021, -0.022]
    worse, slightly = [0.1, 0.11, 0.12], [0.1, -0.3, 0.05]
    assert [each.variant for each in ranked(within, beyond, worse)] == ["v0", "v1", "v2"]
    for force in (False, True):
        best = winner(ranked(within, beyond, worse), force=force)
        assert best is not None
        assert best.variant == "v1"
        assert winner(ranked(worse), force=force) is None
    assert winner(ranked(slightly)) is None
    forced = winner(ranked(slightly), force=True)
    assert forced is not None
    assert not forced.beyond_noise


@pytest.mark.parametrize(("seeds", "variants"), [(2, 1), (3, 4), (4, 2)])
def test_the_lead_that_is_needed_is_the_boundary(seeds: int, variants: int) -> None:
    spread = np.linspace(-1, 1, seeds)
    spread /= spread.std(ddof=1)
    needed = lead_needed(seeds, variants)
    for factor, sure in ((0.99, False), (1.01, True)):
        lead = 0.01 * (spread - factor * needed)
        assert ranked(list(lead), tried=variants)[0].beyond_noise == sure


def test_without_an_effect_hardly_any_sweep_has_a_winner() -> None:
    rng = np.random.default_rng(0)
    worlds, wins = 250, 0
    for _ in range(worlds):
        baseline = rng.normal(1.9, 0.015, 3)
        others = {name: of(name, baseline + rng.normal(0, 0.009, 3)) for name in ("x", "y", "z")}
        wins += winner(rank(of("baseline", baseline), others, 3)) is not None
    assert wins / worlds <= LEVEL


@pytest.mark.parametrize(
    ("operator", "variant"), [("optimizer", "muon"), ("swap_activation", "relu2"), ("swap_norm", "rmsnorm")]
)
def test_what_is_promoted_is_what_was_trained_under_the_name_of_the_baseline(
    operator: str, variant: str, base: Path
) -> None:
    plan = plan_sweep(str(base), operator, [variant], None, 2)
    new = promoted(plan.source, plan.mutants[variant].edit)
    trained = plan.variants[variant].trainings[0][0]
    assert parse(new.experiment) == replace(parse(trained.experiment), name="micro")
    assert derived(new.experiment, parse(new.experiment)).model == new.model == trained.model
    kept = [line for line in base.read_text().splitlines() if line.startswith("#")]
    assert new.experiment.splitlines()[1 : 1 + len(kept)] == kept


def test_a_baseline_is_replaced_whole_and_the_old_ones_kept(tmp_path: Path) -> None:
    path, link = tmp_path / "a.yaml", tmp_path / "link.yaml"
    path.write_text("one")
    path.chmod(0o640)
    link.symlink_to(path)
    assert replace_baseline(path, "one", "two", "relu2").name == "a.before-relu2.yaml"
    assert replace_baseline(link, "two", "three", "relu2").name == "a.before-relu2-2.yaml"
    contents = {each.name: each.read_text() for each in tmp_path.iterdir()}
    assert contents == {
        "a.yaml": "three",
        "link.yaml": "three",
        "a.before-relu2.yaml": "one",
        "a.before-relu2-2.yaml": "two",
    }
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    with pytest.raises(ValueError, match="was changed while the sweep ran"):
        replace_baseline(path, "two", "four", "relu2")
    assert len(list(tmp_path.iterdir())) == 4


Losses = Sequence[float | Rejected | Diverged]


def finished(base: Path, **losses: Losses) -> Report:
    """Report on a sweep over activations that ended so, by variant and seed."""
    names = [name for name in losses if name != "baseline"]
    plan = plan_sweep(str(base), "swap_activation", names, None, len(losses["baseline"]))
    outcomes: Outcomes = {}
    for name, side in {"baseline": plan.baseline, **plan.variants}.items():
        for chain, loss in zip(side.trainings, losses[name], strict=False):
            outcomes[chain[-1].key] = scored(loss) if isinstance(loss, float) else loss
    return report(plan, outcomes)


def shown(found: Report, *, promoting: bool = False, force: bool = False) -> tuple[list[str], Ranked | None]:
    """Return what is printed of it in 80 columns, and what was promoted."""
    console = Console(file=io.StringIO(), width=80)
    show(found, console)
    best = promote(found, console, force=force) if promoting else None
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines(), best


def test_failures_are_shown_last_with_their_reason(base: Path) -> None:
    rejected = Rejected(gate="causality", reason="logits at 3 change with token 4")
    found = finished(
        base, baseline=[2.0, 2.1, 1.9], relu=[rejected], silu=[1.8, 1.91, 1.69], relu2=[2.2, Diverged(step=7)]
    )
    lines, _ = shown(found)
    assert lines == [
        f"{base} and its variants, 3 paired seeds, loss on val_confirm",
        "# variant    loss   Δbase      95% interval p (Holm) params tok/s",
        "1 silu     1.8000 -0.2000 -0.2248 … -0.1752    0.002   1.0k     1",
        "  baseline 2.0000                                      1.0k     1",
        "✗ relu: seed 0 Rejected: causality, logits at 3 change with token 4",
        "✗ relu2: seed 1 Diverged: 7",
        "silu is better than the baseline beyond noise; p is corrected for 3 variants, intervals are not.",
    ]
    body = json.loads(as_json(found, None))
    assert [(v["variant"], v["rank"], v.get("failed")) for v in body["variants"]] == [
        ("silu", 1, None),
        ("relu", None, "Rejected"),
        ("relu2", None, "Diverged"),
    ]
    assert (body["promoted"], body["split"]) == (None, "val_confirm")


def test_within_noise_nothing_is_promoted_but_by_force(base: Path) -> None:
    before = base.read_text()
    found = finished(base, baseline=[2.0, 2.1, 1.9], relu2=[1.9, 2.15, 1.8])
    lines, best = shown(found, promoting=True)
    assert best is None
    assert lines[-1].startswith("relu2 is 0.0500 nats per token ahead, which is within noise (p = ")
    assert lines[-1].endswith("nothing is promoted; --force does it anyway.")
    assert base.read_text() == before
    lines, best = shown(found, promoting=True, force=True)
    assert best is not None
    assert any("the one before is kept as micro.before-relu2.yaml" in line for line in lines)
    assert any(line.startswith('+  - "swap_activation relu2 @ MLP:gelu"') for line in lines)
    assert any(line.startswith("+") and "square()" in line for line in lines)
    assert (base.parent / "micro.before-relu2.yaml").read_text() == before
    assert parse(base.read_text()).mutations == ("swap_activation relu2 @ MLP:gelu",)


def test_what_is_not_better_is_not_promoted_by_force_either(base: Path) -> None:
    before = base.read_text()
    lines, best = shown(finished(base, baseline=[2.0, 2.1], relu=[2.1, 2.2]), promoting=True, force=True)
    assert best is None
    assert lines[-1] == "No variant has a lower loss than the baseline: nothing is promoted."
    assert base.read_text() == before
