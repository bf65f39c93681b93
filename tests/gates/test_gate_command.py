"""`foundry gate FILE`, as a person sees it."""

from __future__ import annotations

from pathlib import Path

import pytest
from gates_helpers import MASK, seed_source, v1_with

from foundry import gates
from foundry.cli.gate import main


def written(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_good_file_gets_one_tick_per_gate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([written(tmp_path, "model.py", seed_source("v1"))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["✓", name] for name in gates.names()]
    assert all(line.endswith(" ms") for line in lines)


def test_it_stops_at_the_first_gate_that_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([written(tmp_path, "model.py", v1_with((MASK, "is_causal=False")))]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("✗ causality ")
    assert "when tokens after 0 change, in train mode" in last


def test_an_experiment_gives_the_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = written(tmp_path, "model.py", seed_source("v1"))
    wide = written(
        tmp_path, "wide.yaml", "model_args: {n_embd: 40000, n_head: 4}\ntraining: {batch_size: 4}\n"
    )
    assert main([model, "--experiment", wide]) == 1
    assert "parameters, more than the limit of 200,000,000" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("experiment", "sentence"),
    [
        ("model_args: {n_heads: 4}", "unknown field of GPTConfig 'n_heads': did you mean 'n_head'?"),
        ("model_args: 3", "experiment.yaml is not an experiment: it needs model_args: and training:"),
        ("- 1", "experiment.yaml is not an experiment"),
        ("model_args: [", "experiment.yaml is not YAML: while parsing"),
        ("training: {batch_size: many}", "training: batch_size is 'many', not a positive whole number"),
    ],
)
def test_a_bad_experiment_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], experiment: str, sentence: str
) -> None:
    model = written(tmp_path, "model.py", seed_source("v1"))
    assert main([model, "--experiment", written(tmp_path, "experiment.yaml", experiment)]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_a_bad_file_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "absent.py")]) == 2
    assert (
        capsys.readouterr().err
        == f"foundry gate: {tmp_path}/absent.py cannot be read: No such file or directory\n"
    )
    (tmp_path / "latin.py").write_bytes("# ä".encode("latin-1"))
    assert main([str(tmp_path / "latin.py")]) == 2
    assert "latin.py is not UTF-8: byte 2 cannot be decoded" in capsys.readouterr().err
    assert main([written(tmp_path, "empty.py", "import torch\n")]) == 2
    assert "model.py defines no class GPTConfig" in capsys.readouterr().err
