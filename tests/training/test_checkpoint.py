"""Checkpoints: whole or not at all, without pickle, and refused in words when they do not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from training_helpers import differing, parameters, random_tokens, recipe, small

from foundry.data.batches import Blocks
from foundry.training import checkpoint
from foundry.training.loop import build_optimizers, train

NAME = "3.safetensors"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Write the checkpoint of a small model after three steps."""
    experiment, model = recipe(), small()
    optimizers = build_optimizers(model, experiment.training)
    train(model, optimizers, Blocks(random_tokens()), experiment, seed=0, steps=range(3), total=9)
    checkpoint.save(tmp_path / "new" / "folder" / NAME, model, optimizers, 3)
    return tmp_path / "new" / "folder" / NAME


def fresh() -> tuple[nn.Module, list[torch.optim.Optimizer]]:
    model = small(seed=9)
    return model, build_optimizers(model, recipe().training)


def test_the_folder_holds_the_file_and_nothing_else(saved: Path) -> None:
    assert [path.name for path in saved.parent.iterdir()] == [NAME]


def test_the_file_is_safetensors_from_its_first_byte_to_its_last(saved: Path) -> None:
    content = saved.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    about = header.pop("__metadata__")
    assert len(about.pop("sha256")) == 64
    assert about == {"step": "3", "optimizers": "AdamW", "vocab_size": "13"}
    assert 8 + size + max(entry["data_offsets"][1] for entry in header.values()) == len(content)
    assert {entry["dtype"] for entry in header.values()} == {"F32"}
    assert "model.transformer.wte.weight" in header
    assert "model.lm_head.weight" not in header  # tied: stored once
    assert {name.rpartition(".")[2] for name in header if name.startswith("optimizer.0.")} == {
        *("step", "exp_avg", "exp_avg_sq")
    }


def test_saving_again_replaces_the_file(saved: Path) -> None:
    model, optimizers = fresh()
    checkpoint.save(saved, model, optimizers, 4)
    other, others = fresh()
    assert checkpoint.load(saved, other, others) == 4
    assert [path.name for path in saved.parent.iterdir()] == [NAME]


def test_a_save_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()  # a folder is in the way
    with pytest.raises(OSError, match=NAME):
        checkpoint.save(tmp_path / NAME, *fresh(), 1)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_tensors_that_share_memory_are_kept(tmp_path: Path) -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, 5, bias=False)
            self.embedding = nn.Parameter(self.head.weight.detach())  # the same memory, another parameter
            table = torch.arange(12.0)
            self.register_buffer("low", table[:6])
            self.register_buffer("high", table[3:])

    one, other = Shared(), Shared()
    checkpoint.save(tmp_path / NAME, one, [], 1)
    assert checkpoint.load(tmp_path / NAME, other, []) == 1
    assert torch.equal(one.head.weight, other.head.weight)
    assert torch.equal(other.head.weight, other.embedding)
    assert torch.equal(other.get_buffer("high"), torch.arange(3.0, 12.0))


def test_a_transposed_parameter_keeps_its_layout(tmp_path: Path) -> None:
    one, other = nn.Linear(3, 5), nn.Linear(3, 5)
    one.weight = nn.Parameter(torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).t())
    checkpoint.save(tmp_path / NAME, one, [], 1)
    checkpoint.load(tmp_path / NAME, other, [])
    assert torch.equal(one.weight, other.weight)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:5],
        lambda content: content[:200],
        lambda content: content[:-1],
        lambda content: content[: len(content) // 2],
        lambda content: bytes(8) + content[8:],
        lambda content: b"\xff" * 8 + content[8:],
        lambda content: content[:8] + b"\xff" * 50 + content[58:],
        lambda content: b"PK\x03\x04" + content[4:],
        lambda content: content + b"more",
    ],
)
def test_a_damaged_file_is_refused_in_words_and_changes_nothing(
    saved: Path, damage: Callable[[bytes], bytes]
) -> None:
    saved.write_bytes(damage(saved.read_bytes()))
    model, optimizers = fresh()
    before = parameters(model)
    with pytest.raises(ValueError, match=r"^checkpoint 3\.safetensors cannot be read: ."):
        checkpoint.load(saved, model, optimizers)
    assert not differing(before, parameters(model))


def test_a_missing_file_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^checkpoint 3\.safetensors cannot be read: "):
        checkpoint.load(tmp_path / NAME, *fresh())


@pytest.mark.parametrize(
    "other", [{"n_embd": 32}, {"n_layer": 3}, {"n_layer": 1}, {"bias": True}, {"block_size": 4}]
)
def test_the_checkpoint_of_another_model_is_refused(saved: Path, other: dict[str, Any]) -> None:
    model = small(**other)
    optimizers = build_optimizers(model, recipe().training)
    before = parameters(model)
    with pytest.raises(ValueError, match=r"^checkpoint 3\.safetensors belongs to another model$"):
        checkpoint.load(saved, model, optimizers)
    assert not differing(before, parameters(model))


def test_another_vocabulary_is_named(saved: Path) -> None:
    model = small(vocab_size=11)
    with pytest.raises(
        ValueError, match=r"^checkpoint 3\.safetensors was trained with a vocabulary of 13, the data has 11$"
    ):
        checkpoint.load(saved, model, build_optimizers(model, recipe().training))


def test_another_optimizer_is_named_and_a_model_needs_none(saved: Path) -> None:
    model = small(seed=9)
    before = parameters(model)
    with pytest.raises(
        ValueError, match=r"^checkpoint 3\.safetensors was trained by AdamW, not by Muon and AdamW$"
    ):
        checkpoint.load(saved, model, build_optimizers(model, recipe(optimizer="muon").training))
    assert not differing(before, parameters(model))
    assert checkpoint.load(saved, model, []) == 3
    assert differing(before, parameters(model))
