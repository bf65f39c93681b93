"""Beside transformers: the same logits, the same greedy text, and folders that each can read of the other.

Everything that needs transformers is here, for importing it takes ten seconds.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from zoo_support import SMALL, stirred

transformers = pytest.importorskip("transformers")

from benchmarks import parity  # noqa: E402
from foundry.seed import read_model  # noqa: E402
from foundry.zoo import config_json  # noqa: E402
from foundry.zoo.exporting import export  # noqa: E402
from foundry.zoo.filling import loaded  # noqa: E402

torch.set_num_threads(1)

SIZES = {**SMALL, "block_size": 40}
ROTARY = {**SIZES, "n_kv_head": 2, "n_ffn": 80, "rope_theta": 3e5, "norm_eps": 2e-5}
SCALED = {"rope_factor": 8.0, "rope_original": 16, "tied": True}


@pytest.mark.parametrize("name", parity.MODELS)
def test_logits_and_greedy_text_are_theirs(name: str, tmp_path: Path) -> None:
    row = parity.random_row(name, tmp_path)
    assert row.difference < 1e-4
    assert row.largest > 1  # nothing is hidden in the noise
    assert row.same_text


def test_the_older_dialect_of_config_json_says_the_same(tmp_path: Path) -> None:
    parity.made("Llama with llama3 scaling, tied").save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    newer = config_json.read(path)
    body = json.loads(path.read_text())
    scaling = body.pop("rope_parameters")
    body["rope_theta"] = scaling.pop("rope_theta")
    for key in ("rope_type", "type"):
        kind = scaling.pop("rope_type", scaling.pop("type", None))
        path.write_text(json.dumps({**body, "rope_scaling": {**scaling, key: kind}}))
        scaling[key] = kind
        assert config_json.read(path) == newer
    assert newer.model_args["rope_factor"] == 8.0


def test_shards_of_theirs_are_one_checkpoint(tmp_path: Path) -> None:
    model = parity.made("Mistral with a window of 12")
    model.save_pretrained(tmp_path / "whole")
    model.save_pretrained(tmp_path / "shards", max_shard_size="40KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 3
    described = config_json.read(tmp_path / "shards" / "config.json")
    whole, shards, index = (
        loaded(read_model("llama"), described.model_args, tmp_path / path).state_dict()
        for path in ("whole/model.safetensors", "shards", "shards/model.safetensors.index.json")
    )
    assert whole.keys() == shards.keys() == index.keys()
    assert all(torch.equal(whole[name], shards[name]) for name in whole)
    assert all(torch.equal(whole[name], index[name]) for name in whole)


@pytest.mark.parametrize(
    ("base", "args", "architecture"),
    [
        ("llama", ROTARY, "LlamaForCausalLM"),
        ("llama", {**ROTARY, **SCALED}, "LlamaForCausalLM"),
        ("llama", {**ROTARY, "bias": True}, "LlamaForCausalLM"),
        ("llama", {**ROTARY, "window": 9}, "MistralForCausalLM"),
        ("llama", {**ROTARY, "qkv_bias": True}, "Qwen2ForCausalLM"),
        ("llama", {**ROTARY, "qkv_bias": True, "window": 9}, "Qwen2ForCausalLM"),
        ("gpt2", SIZES, "GPT2LMHeadModel"),
        ("gpt2", {**SIZES, "bias": False}, "GPT2LMHeadModel"),
        ("v1", {**SIZES, "bias": False}, "GPT2LMHeadModel"),
        ("v2", {**SIZES, "n_kv_head": 2, "rope_theta": 7e3}, "LlamaForCausalLM"),
    ],
)
def test_what_is_exported_is_loaded_by_auto_model(
    base: str, args: dict[str, object], architecture: str, tmp_path: Path
) -> None:
    source = read_model(base)
    model = stirred(base, args)
    assert export(model, source, args, tmp_path) == architecture
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert type(theirs).__name__ == architecture
    idx = torch.randint(29, (2, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours, others = model(idx, idx)[0], theirs(idx).logits
    assert others.abs().max() > 1
    assert (ours - others).abs().max() < 1e-4
    described = config_json.read(tmp_path / "config.json")
    again = loaded(read_model(described.base_model), described.model_args, tmp_path)
    with torch.no_grad():
        assert (again(idx, idx)[0] - ours).abs().max() < 1e-4


def test_an_export_speaks_the_older_dialect_too(tmp_path: Path) -> None:
    args = {**ROTARY, **SCALED}
    export(stirred("llama", args), read_model("llama"), args, tmp_path)
    body = json.loads((tmp_path / "config.json").read_text())
    newer = config_json.read(tmp_path / "config.json")
    del body["rope_parameters"]
    (tmp_path / "config.json").write_text(json.dumps(body))
    assert config_json.read(tmp_path / "config.json") == newer


@pytest.mark.slow
def test_the_released_smollm2_is_theirs(smollm2: Path) -> None:
    row = parity.released_row(smollm2)
    assert row.parameters == 134_515_008
    assert row.difference < 1e-4
    assert row.same_text
