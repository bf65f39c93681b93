"""Evolution from pretrained weights: what an edit keeps is kept; what changes no function starts as good."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from perplexity_support import pretrained
from zoo_support import LLAMA, SMALL, stirred

import operators
from foundry.errors import UserError
from foundry.seed import read_model
from foundry.source import build_model, load_module
from foundry.training import init
from foundry.training.experiment import parse
from foundry.training.pretrained import inherit
from foundry.zoo.evolution import begun, started
from foundry.zoo.exporting import export
from operators import Edit, Source

EXPERIMENT = """\
name: evolve
base_model: v1
model_args: {n_layer: 4, n_head: 4, n_embd: 128, block_size: 64, bias: false}
training: {batch_size: 12, max_iters: 200, learning_rate: 1.0e-3, min_lr: 1.0e-4, schedule: wsd}
data: {dataset: shakespeare_char, curriculum: none}
"""
ARGS = {"llama": LLAMA, "gpt2": SMALL}


def preserving(base: str) -> list[Edit]:
    """List an edit of each variant that says it changes no function at first, or no model at all."""
    source = Source(read_model(base), yaml.safe_dump({"model_args": ARGS[base]}))
    found: dict[tuple[str, str], Edit] = {}
    for operator in operators.load().values():
        if operator.family != "experiment":
            for edit in operator.sites(source):
                if "function_at_init" in operator.keeps(edit):
                    found.setdefault((edit.operator, edit.variant), edit)
    return list(found.values())


CASES = [(base, edit) for base in ARGS for edit in preserving(base)]


@pytest.mark.parametrize(
    ("base", "edit"), CASES, ids=[f"{base}-{edit.operator}-{edit.variant}" for base, edit in CASES]
)
def test_an_edit_that_changes_no_function_starts_at_the_parents_loss(
    base: str, edit: Edit, tmp_path: Path
) -> None:
    args = ARGS[base]
    parent = stirred(base, args)
    assert export(parent, read_model(base), args, tmp_path / "parent")
    text = yaml.safe_dump({"init_from": "pretrained", "checkpoint": str(tmp_path / "parent")})
    source = Source(read_model(base), yaml.safe_dump({"model_args": args}))
    child = init.initialised(
        lambda: build_model(load_module(operators.apply(source, edit).model), args), seed=1
    ).eval()
    fit = inherit(parse(text), child, strict=False)
    assert fit is not None
    own = sum(p.numel() for p in parent.parameters())
    assert fit.inherited_parameters == own
    idx = torch.randint(29, (2, 24), generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        torch.testing.assert_close(child(idx, idx)[0], parent(idx, idx)[0], atol=1e-5, rtol=1e-5)


def test_a_model_of_the_zoo_takes_the_place_of_the_experiments_own(tmp_path: Path) -> None:
    folder = pretrained(tmp_path / "tiny")
    read = parse(begun(EXPERIMENT, f"zoo:{folder}", None))
    assert (read.base_model, read.checkpoint) == ("llama", str(folder))
    assert (read.model_args["n_embd"], read.model_args["block_size"]) == (32, 16)
    assert (read.data.tokenizer, read.data.vocabulary) == ("pretrained", str(folder / "tokenizer.json"))
    assert (read.training.batch_size, read.training.schedule) == (12, "wsd")
    assert read.training.learning_rate < 1e-3
    named = parse(begun(EXPERIMENT, "zoo:smollm2-135m", str(folder)))
    assert (named.model_args["n_embd"], named.model_args["block_size"]) == (576, 64)
    assert named.checkpoint == str(folder)


def test_without_weights_a_model_of_the_zoo_is_a_seed_like_any_other() -> None:
    read = parse(begun(EXPERIMENT, "zoo:smollm2-135m", None))
    assert (read.base_model, read.checkpoint, read.init_from) == ("llama", None, "scratch")
    assert read.training.learning_rate == 1e-3
    assert read.data.tokenizer is None


def test_an_experiment_can_start_from_weights_of_its_own_model(tmp_path: Path) -> None:
    folder = pretrained(tmp_path / "tiny")
    read = parse(started(EXPERIMENT, str(folder)))
    assert (read.base_model, read.checkpoint, read.init_from) == ("v1", str(folder), "pretrained")
    for wrong in (lambda: started(EXPERIMENT, "gone"), lambda: begun(EXPERIMENT, "zoo:gpt2", "gone")):
        with pytest.raises(UserError, match="checkpoint gone does not exist"):
            wrong()
    with pytest.raises(UserError, match="did you mean 'gpt2'"):
        begun(EXPERIMENT, "zoo:gpt-2", None)
