"""Every model of the zoo has the size that its authors give, and begins an experiment that can be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from foundry.errors import UserError
from foundry.gates.unfilled import Unfilled
from foundry.seed import check_model_args, read_model
from foundry.source import build_config, build_model, load_module
from foundry.training.experiment import parse
from foundry.zoo import config_json, entry
from foundry.zoo.beginning import Beginning
from foundry.zoo.experiment import experiment_text

RELEASED = {
    "llama3-8b": 8_030_261_248,
    "llama3-1b": 1_235_814_400,
    "llama3-3b": 3_212_749_824,
    "mistral-7b-v0.1": 7_241_732_096,
    "mistral-7b-v0.3": 7_248_023_552,
    "qwen2-7b": 7_615_616_512,
    "qwen2.5-0.5b": 494_032_768,
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "smollm2-135m": 134_515_008,
}


@pytest.mark.parametrize("name", entry.names())
def test_a_model_has_the_parameters_of_its_release(name: str) -> None:
    found = entry.read(name)
    with torch.device("meta"), Unfilled():
        model = build_model(load_module(read_model(found.base_model)), found.model_args)
    assert sum(p.numel() for p in model.parameters()) == found.parameters
    assert found.parameters == RELEASED.get(name, found.parameters)


def test_every_release_that_was_asked_for_is_there() -> None:
    assert set(RELEASED) <= set(entry.names())


@pytest.mark.parametrize("name", entry.names())
def test_nothing_is_left_to_a_default(name: str) -> None:
    found = entry.read(name)
    config = build_config(load_module(read_model(found.base_model)), found.model_args)
    assert set(vars(config)) - {"dropout"} == set(found.model_args)


@pytest.mark.parametrize("name", entry.names())
def test_config_json_says_what_the_entry_says(name: str, tmp_path: Path) -> None:
    found = entry.read(name)
    body = config_json.write(found.base_model, found.model_args)
    assert body is not None
    (tmp_path / "config.json").write_text(json.dumps(body))
    described = config_json.read(tmp_path / "config.json")
    assert described.base_model == found.base_model
    assert {**found.model_args, **described.model_args} == found.model_args


@pytest.mark.parametrize("checkpoint", [None, Path("weights of mine")])
@pytest.mark.parametrize("name", entry.names())
def test_the_experiment_of_a_model_is_that_model(name: str, checkpoint: Path | None) -> None:
    found = entry.read(name)
    text = experiment_text(
        Beginning(
            name=name,
            comments=["A comment."],
            base_model=found.base_model,
            model_args=found.model_args,
            checkpoint=checkpoint,
            tokenizer=found.tokenizer,
        )
    )
    body = yaml.safe_load(text)
    if checkpoint is not None:
        assert body.pop("init_from") == "pretrained"
        assert body.pop("checkpoint") == str(checkpoint)
    read = parse(yaml.safe_dump(body))
    assert read.name == name
    assert read.base_model == found.base_model
    check_model_args(read_model(read.base_model), read.base_model, read.model_args)
    shortened = {**found.model_args, "block_size": min(found.context, 1024)}
    assert dict(read.model_args) == shortened


def test_an_unknown_model_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown model of the zoo 'llama3-1': did you mean 'llama3-1b'\?"):
        entry.read("llama3-1")
