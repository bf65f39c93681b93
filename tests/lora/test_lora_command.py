"""`foundry lora merge`: adapters from anywhere go into the weights of a training, as a plain one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lora_helpers import adapted, from_source, logits

from foundry.cli import main as foundry_main
from foundry.cli.lora import main, without_section
from foundry.lora import files
from foundry.lora.settings import Lora
from foundry.seed import read_model
from foundry.training import checkpoint

TEXT = "if music be the food of love, play on; give me excess of it.\n" * 30
EXPERIMENT = """\
name: tiny
base_model: v2
model_args: {n_layer: 1, n_head: 2, n_kv_head: 1, n_embd: 16, block_size: 8}
data:
  dataset: %s
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Write the folder of a training, with an adapter in a folder beside it."""
    (text := tmp_path / "text.txt").write_text(TEXT)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "experiment.yaml").write_text(EXPERIMENT % text)
    (folder / "model.py").write_text(read_model("v2"))
    checkpoint.save(folder / "best.safetensors", model(), [], 7)
    settings = Lora(rank=2, dora=True)
    files.save(tmp_path / "adapter", adapted(model(), settings), settings)
    return folder


def model() -> torch.nn.Module:
    sizes: dict[str, object] = {"n_layer": 1, "n_head": 2, "n_kv_head": 1, "n_embd": 16, "block_size": 8}
    return from_source(read_model("v2"), sizes | {"vocab_size": len(set(TEXT))})


def test_the_merged_folder_holds_a_plain_model_that_says_the_same(run: Path) -> None:
    out = run.parent / "merged"
    assert main(["merge", str(run), "--adapter", str(run.parent / "adapter"), "--out", str(out)]) == 0
    wanted, found = model(), model()
    files.load(run.parent / "adapter", wanted)
    assert checkpoint.load(out / "best.safetensors", found, []) == 0
    torch.testing.assert_close(logits(found), logits(wanted), atol=1e-5, rtol=1e-5)
    assert (logits(found) - logits(model())).abs().max() > 0.01
    assert (out / "model.py").read_text() == (run / "model.py").read_text()


def test_the_weights_are_on_the_disk_once_by_both_names(run: Path) -> None:
    out = run.parent / "merged"
    assert main(["merge", str(run), "--adapter", str(run.parent / "adapter"), "--out", str(out)]) == 0
    weights = sum(path.lstat().st_size for path in out.iterdir() if path.suffix == ".safetensors")
    assert weights < 1.1 * (run / "best.safetensors").stat().st_size
    moved = out.rename(run.parent / "moved")
    for name in ("best", "latest"):
        assert checkpoint.load(moved / f"{name}.safetensors", model(), []) == 0
    merged = (moved / "best.safetensors").read_bytes()
    assert foundry_main(["train", str(moved / "experiment.yaml"), "--out", str(moved), "--resume"]) == 2
    assert (moved / "best.safetensors").read_bytes() == merged


def test_mistakes_are_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(run.parent / "out")
    assert main(["merge", str(run.parent), "--out", out]) == 2
    assert "has no experiment.yaml: `foundry train` makes folders that do" in capsys.readouterr().err
    assert main(["merge", str(run), "--out", str(run)]) == 2
    assert "holds a training already" in capsys.readouterr().err
    assert main(["merge", str(run), "--adapter", str(run), "--out", out]) == 2
    assert "adapter_model.safetensors is missing or damaged" in capsys.readouterr().err
    assert not Path(out).exists()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a: 1\nlora:\n  rank: 2\n\n  # more\n  alpha: 3\nb: 4\n", "a: 1\nb: 4\n"),
        ("a: 1\nlora: {rank: 2}\n", "a: 1\n"),
        ("a: 1\nlora:\n  rank: 2", "a: 1\n"),
        ("a: 1\nx:\n  lora: 3\n", "a: 1\nx:\n  lora: 3\n"),
    ],
)
def test_a_section_is_taken_out_and_the_rest_stays(before: str, after: str) -> None:
    assert without_section(before, "lora") == after
