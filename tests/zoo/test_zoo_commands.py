"""`foundry zoo` and `foundry export` as a person uses them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors import safe_open
from zoo_support import same_function, stirred

import operators
from foundry.cli import export as export_command
from foundry.cli import zoo as zoo_command
from foundry.data import dataset
from foundry.seed import read_model
from foundry.source import build_model, load_module
from foundry.training import checkpoint, init
from foundry.training.experiment import parse
from foundry.zoo import config_json, entry
from foundry.zoo.exporting import export
from foundry.zoo.filling import fill, loaded
from foundry.zoo.opening import open_checkpoint
from operators import Source

EXPERIMENT = """\
name: tiny
base_model: llama
model_args: {n_layer: 2, n_head: 4, n_kv_head: 2, n_embd: 32, n_ffn: 48, block_size: 24, tied: true}
data: {dataset: TEXT}
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def test_the_list_has_every_model_with_its_size(capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo_command.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in entry.names():
        row = next(line for line in lines if line.startswith(f"{name} "))
        assert f"{entry.read(name).parameters:,}" in row


def test_a_model_is_shown_and_its_experiment_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo_command.main(["llama3-1b"]) == 0
    text = Path("experiments/llama3-1b.yaml").read_text()
    shown = capsys.readouterr().out
    assert text in shown
    assert "1,235,814,400 parameters (4.9 GB in float32), a context of 131,072 tokens" in text
    assert "  block_size: 1024  # up to 131072\n" in text
    read = parse(text)
    assert (read.name, read.base_model, read.model_args["rope_factor"]) == ("llama3-1b", "llama", 32.0)
    assert zoo_command.main(["llama3-1b"]) == 2
    assert "exists already: give another --name" in capsys.readouterr().err
    assert zoo_command.main(["llama3-1b", "--name", "other", "--out", "mine"]) == 0
    assert parse(Path("mine/other.yaml").read_text()).name == "other"


def test_nothing_is_written_by_a_dry_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert zoo_command.main(["gpt2", "--dry-run"]) == 0
    assert "tokenizer: gpt2" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_weights_to_start_from_are_named_in_the_experiment(tmp_path: Path) -> None:
    Path("weights").mkdir()
    assert zoo_command.main(["smollm2-135m", "--checkpoint", "weights"]) == 0
    body = yaml.safe_load(Path("experiments/smollm2-135m.yaml").read_text())
    assert (body["init_from"], body["checkpoint"]) == ("pretrained", str(tmp_path / "weights"))


def test_a_folder_of_hugging_face_is_a_model_too(tmp_path: Path) -> None:
    args = vars(stirred("llama", {"n_layer": 1, "n_head": 4, "n_embd": 32, "window": 7}).config)
    Path("my model").mkdir()
    Path("my model/config.json").write_text(json.dumps(config_json.write("llama", args)))
    assert zoo_command.main(["my model"]) == 0
    body = yaml.safe_load(Path("experiments/my-model.yaml").read_text())
    assert body["checkpoint"] == str(tmp_path / "my model")
    assert body["model_args"]["window"] == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lama3-1b"], "unknown model of the zoo 'lama3-1b': did you mean 'llama3-1b'?"),
        (["gpt2", "--checkpoint", "gone"], "checkpoint gone does not exist"),
        (["."], ". has no config.json, so it is no Hugging Face checkpoint"),
    ],
)
def test_mistakes_are_answered_in_a_sentence(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert zoo_command.main(arguments) == 2
    assert capsys.readouterr().err == f"foundry zoo: {message}\n"


def trained(source: str) -> Path:
    """Make the folder that a training of a source leaves."""
    Path("text.txt").write_text("What's past is prologue.\n" * 200)
    text = EXPERIMENT.replace("TEXT", "text.txt")
    experiment = parse(text)
    args = {**experiment.model_args, "vocab_size": dataset.load(experiment.data).vocab_size}
    model = init.initialised(lambda: build_model(load_module(source), args), seed=0)
    folder = Path("trained")
    folder.mkdir()
    (folder / "experiment.yaml").write_text(text)
    (folder / "model.py").write_text(source)
    checkpoint.save(folder / "best.safetensors", model, [], 3)
    return folder


def test_a_training_is_exported_for_hugging_face(capsys: pytest.CaptureFixture[str]) -> None:
    folder = trained(read_model("llama"))
    assert export_command.main([str(folder), "--hf", "out"]) == 0
    assert "out: LlamaForCausalLM of " in capsys.readouterr().out
    described = config_json.read(Path("out/config.json"))
    assert described.model_args["tied"] is True
    with safe_open("out/model.safetensors", framework="pt") as file:
        assert "model.layers.1.mlp.up_proj.weight" in file.keys()  # noqa: SIM118
        assert "lm_head.weight" not in file.keys()  # noqa: SIM118
    again = loaded(read_model("llama"), described.model_args, Path("out"))
    before = loaded(read_model("llama"), described.model_args, folder)
    weights = before.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in again.state_dict().items())
    idx = torch.arange(10)[None]
    torch.testing.assert_close(again(idx)[0], before(idx)[0])  # products depend on where in memory they lie
    assert export_command.main([str(folder), "--hf", "out"]) == 2
    assert capsys.readouterr().err == "foundry export: out holds a model already: name another folder\n"


def test_what_no_architecture_computes_is_exported_with_its_source(
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = read_model("llama").replace("F.silu(", "F.gelu(")
    folder = trained(source)
    assert export_command.main([str(folder), "--hf", "out"]) == 0
    assert "no architecture that the zoo knows" in capsys.readouterr().out
    assert Path("out/model.py").read_text() == source
    assert not Path("out/config.json").exists()
    args = json.loads(Path("out/model_args.json").read_text())
    again, before = loaded(source, args, Path("out")), loaded(source, args, folder)
    idx = torch.arange(10)[None]
    assert torch.equal(again(idx)[0], before(idx)[0])


def test_a_rewritten_source_that_computes_the_same_is_still_a_llama(tmp_path: Path) -> None:
    args: dict[str, object] = {"n_layer": 1, "n_head": 4, "n_embd": 32, "n_ffn": 48, "vocab_size": 29}
    args["block_size"] = 24
    model = stirred("llama", args)
    old = "x = x + self.mlp(self.post_attention_layernorm(x))"
    assert old in read_model("llama")
    source = read_model("llama").replace(old, "x = self.mlp(self.post_attention_layernorm(x)) + x * 1.0")
    other = build_model(load_module(source), args)
    other.load_state_dict(model.state_dict())
    assert export(other, source, args, tmp_path / "same") == "LlamaForCausalLM"
    window = source.replace("SlidingWindowAttention(config.window)", "SlidingWindowAttention(12)")
    other = build_model(load_module(window), args)
    other.load_state_dict(model.state_dict())
    assert export(other, window, args, tmp_path / "other") is None


@pytest.mark.parametrize("base", ["llama", "gpt2"])
def test_a_child_inherits_what_its_parents_checkpoint_has(base: str, tmp_path: Path) -> None:
    """Operators rewrite the zoo's seed models; after an edit that keeps the function, it is the parent's."""
    args: dict[str, object] = {"n_layer": 2, "n_head": 4, "n_embd": 32, "vocab_size": 29, "block_size": 24}
    experiment = yaml.safe_dump({"model_args": args})
    parent = stirred(base, args)
    assert export(parent, read_model(base), args, tmp_path / "parent")
    source = Source(read_model(base), experiment)
    edits = operators.load()["residual_scale"].sites(source)
    edit = next(each for each in edits if each.variant == "scalar")
    child_source = operators.apply(source, edit).model
    child = init.initialised(lambda: build_model(load_module(child_source), args), seed=1).eval()
    assert not same_function(parent, child)
    fit = fill(child, open_checkpoint(tmp_path / "parent"), strict=False)
    assert same_function(parent, child)
    assert fit.missing
    assert not fit.unexpected
    assert not fit.misshapen
