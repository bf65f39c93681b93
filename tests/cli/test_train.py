"""`foundry train`: stopped and resumed equals uninterrupted, and mistakes are sentences."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from foundry.cli import main
from foundry.data.dataset import read_text

ROOT = Path(__file__).parents[2]


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """A training of 40 updates of a tiny model with dropout on a tiny text."""
    (text := tmp_path / "text.txt").write_text(read_text("shakespeare_char")[:6_000])
    settings = {
        "data.dataset": text,
        "training.max_iters": 40,
        "training.eval_interval": 10,
        "training.gradient_accumulation_steps": 2,
        "model_args.n_embd": 16,
        "model_args.dropout": 0.1,
    }
    return [
        "train",
        str(ROOT / "experiments" / "micro.yaml"),
        *(f"{key}={value}" for key, value in settings.items()),
        "--threads=1",
        "--out",
    ]


def metrics(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "tokens_per_second"} for line in lines]


def same_tensors(one: Path, other: Path) -> bool:
    a, b = load_file(one), load_file(other)
    return a.keys() == b.keys() and all(a[name].equal(b[name]) for name in a)


def test_stopped_by_a_signal_and_resumed_equals_uninterrupted(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main([*arguments, str(whole)]) == 0
    assert "best validation loss" in capsys.readouterr().out
    command = [sys.executable, "-m", "foundry", *arguments, str(parts)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "update     10" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 130
    assert "--resume" in rest
    assert len(metrics(parts)) < 4
    assert main([*arguments, str(parts), "--resume"]) == 0
    assert metrics(parts) == metrics(whole)
    for name in ("latest.safetensors", "best.safetensors"):
        assert same_tensors(parts / name, whole / name)


def test_killed_it_goes_on_from_the_last_evaluation(arguments: list[str], tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main([*arguments, str(whole)]) == 0
    command = [sys.executable, "-m", "foundry", *arguments, str(parts)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "update     20" not in process.stdout.readline():
            assert process.poll() is None
        process.kill()
    assert main([*arguments, str(parts), "--resume"]) == 0
    assert metrics(parts) == metrics(whole)
    assert same_tensors(parts / "latest.safetensors", whole / "latest.safetensors")


def test_the_folder_holds_what_was_trained(arguments: list[str], tmp_path: Path) -> None:
    assert main([*arguments, str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "model.py").read_text() == (ROOT / "foundry" / "models" / "v1.py").read_text()
    assert "max_iters: 40" in (tmp_path / "out" / "experiment.yaml").read_text()
    losses = [line["val_loss"] for line in metrics(tmp_path / "out")]
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("training.max_itres=3", "did you mean 'training.max_iters'?"),
        ("training.max_iters", "not of the form key=value"),
        ("training.max_iters.x=3", "max_iters is a value and has no keys"),
        ("model_args.n_heads=2", "did you mean 'n_head'?"),
        ("base_model=v3", "did you mean 'v2'?"),
        ("data.dataset=nowhere.txt", "'nowhere.txt' does not exist"),
        ("training.learning_rate=1.0e+30", "not finite at step 1 of 40: there is no checkpoint yet"),
        ("training.device=gpu", "unknown device 'gpu': did you mean 'cpu'?"),
        ("training.compile=maybe", "training.compile must be true or false, not 'maybe'"),
    ],
)
def test_mistakes(
    arguments: list[str], setting: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    assert main([*arguments[:-1], setting, "--out", out]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.splitlines()) == 1


def test_a_folder_is_not_overwritten(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    assert main([*arguments, out, "--resume"]) == 2
    assert "holds no training" in capsys.readouterr().err
    assert main([*arguments, out]) == 0
    assert main([*arguments, out]) == 2
    assert "holds a training already" in capsys.readouterr().err
    assert main([*arguments, out, "--resume"]) == 0
    other = [a for a in arguments if "eval_interval" not in a]
    assert main([*other, out, "--resume"]) == 2
    assert "is of another training" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["data", "seed"])
def test_a_training_goes_on_with_its_own_data_and_seed(
    what: str, arguments: list[str], tmp_path: Path
) -> None:
    out = str(tmp_path / "out")
    assert main([*arguments, out]) == 0
    if what == "data":
        text = tmp_path / "text.txt"
        text.write_text(text.read_text()[::-1])  # of the same size and vocabulary
    seed = ["--seed", "1"] if what == "seed" else []
    command = [sys.executable, "-m", "foundry", *arguments, out, "--resume", *seed]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    sentence = "is of another training: give the same settings, data and seed, or another --out\n"
    assert done.stderr == f"foundry train: {out}/origin.json {sentence}"


def test_a_loss_that_explodes_ends_with_the_last_good_checkpoint(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    wild = ["training.learning_rate=9.0", "training.warmup_iters=12", "training.schedule=constant"]
    assert main([*arguments[:-1], *wild, "--out", str(out)]) == 2
    [sentence] = capsys.readouterr().err.splitlines()
    assert " for 20 updates in a row at step 3" in sentence
    assert sentence.endswith(f" of 40: the last good checkpoint is {out}/latest.safetensors, of update 10")


def test_figures_can_go_to_a_tracker_too(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorboard")
    assert main([*arguments, str(tmp_path / "out"), "--tracker", "tensorboard"]) == 0
    assert list((tmp_path / "out" / "tensorboard").iterdir())
    assert main([*arguments, str(tmp_path / "other"), "--tracker", "wandb"]) == 2
    assert "unknown tracker 'wandb': known: tensorboard" in capsys.readouterr().err


@pytest.mark.parametrize(("rank", "lines"), [("0", 1), ("1", 0)])
def test_a_batch_that_processes_cannot_share_is_a_mistake_said_once(
    rank: str,
    lines: int,
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in (("RANK", rank), ("LOCAL_RANK", rank), ("WORLD_SIZE", "3"), ("LOCAL_WORLD_SIZE", "3")):
        monkeypatch.setenv(name, value)
    assert main([*arguments, str(tmp_path / "out")]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == lines
    assert all("gradient_accumulation_steps 2 is not divisible by 3 processes" in line for line in errors)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow  # starts torchrun four times
@pytest.mark.parametrize("fsdp_above", [10**9, 100], ids=["ddp", "fsdp"])
def test_torchrun_gives_the_curve_of_one_process_and_stops_and_resumes(
    fsdp_above: int, arguments: list[str], tmp_path: Path
) -> None:
    more = {"training.max_iters": 200, "training.eval_interval": 100, "model_args.dropout": 0.0}
    settings = [f"{key}={value}" for key, value in more.items()]
    arguments = [*arguments[:-2], *settings, f"training.fsdp_above={fsdp_above}", "--threads=1", "--out"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*torchrun, "-m", "foundry.train", *arguments[1:]]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}

    def finish(*options: str) -> str:
        done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout

    assert main([*arguments, str(tmp_path / "one")]) == 0
    assert finish(str(tmp_path / "whole")).count("best validation loss") == 1
    for one, two in zip(metrics(tmp_path / "one"), metrics(tmp_path / "whole"), strict=True):
        assert one["step"] == two["step"]
        for name in ("train_loss", "val_loss"):
            assert two[name] == pytest.approx(one[name], rel=1e-4)
    parts = str(tmp_path / "parts")
    with subprocess.Popen(
        [*command, parts], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        while "update    100" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode != 0
    assert "torchrun --nproc-per-node 2 -m foundry.train" in rest
    finish(parts, "--resume")
    assert metrics(tmp_path / "parts") == metrics(tmp_path / "whole")
    assert same_tensors(tmp_path / "parts" / "latest.safetensors", tmp_path / "whole" / "latest.safetensors")
