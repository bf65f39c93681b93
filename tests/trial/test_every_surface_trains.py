"""Every surface there is, each variant trained and scored once as the loop does it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from trial_helpers import EXPERIMENT, outcomes

import operators
from foundry.data import dataset
from foundry.data.pretrained import patterns
from foundry.data.pretrained.definition import Definition, alphabet
from foundry.seed import read_model
from foundry.training import experiment
from foundry.trial.job import Job
from foundry.trial.outcome import Scored
from foundry.trial.pool import Pool
from operators import Edit, Source

CHATS = Path(__file__).parents[2] / "experiments" / "chats.jsonl"
STEP = 8 * 32  # tokens
HEADS = (("n_head: 2", "n_head: 4"), ("n_embd: 32", "n_embd: 64"))
LORA = "lora:\n  rank: 4\n  alpha: 8\n  dropout: 0.0\n  targets: [all-linear]\n"
CACHE = "decoding:\n  kv_cache: float32\n"
TALK = "  tokenizer: pretrained\n  vocabulary: {}\n  conversations:\n    format: chatml\n"
MARKS = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>"),
    *("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
)


def ground(seed: str, text: str, *changes: tuple[str, str], added: str = "") -> Source:
    """A seed model with the micro experiment on a text, changed; some surfaces are there only after that."""
    changed = EXPERIMENT.replace("base_model: v1", f"base_model: {seed}").replace("shakespeare_char", text)
    for old, new in (*HEADS, *changes):
        assert old in changed
        changed = changed.replace(old, new)
    return Source(read_model(seed), changed + added)


def grounds(text: str, tokens: Path) -> Iterator[Source]:
    yield ground("v1", text)
    yield ground("v2", text)
    yield ground("v1", text, ("optimizer: adamw", "optimizer: muon\n  muon_lr: 0.02"))
    yield ground("v1", text, added=LORA + CACHE)
    longer = ("block_size: 32", "block_size: 512")
    yield ground("v1", str(CHATS), longer, added=TALK.format(tokens))


def own_tokens(folder: Path) -> None:
    """Write a tokenizer of bytes: conversations keep their tokens in whatever format."""
    vocab = {letter: number for number, letter in enumerate(alphabet())}
    added = {word: 256 + number for number, word in enumerate(MARKS)}
    made = Definition(vocab=vocab, merges=[], added=added, pattern=patterns.GPT2, end=256)
    (folder / "tokenizer.json").write_text(json.dumps(made.as_json()))


def edits(source: Source, name: str) -> dict[str, Edit]:
    """Return an operator's variants, each at the first of its places."""
    found: dict[str, Edit] = {}
    for edit in operators.lookup(name).sites(source):
        found.setdefault(edit.variant, edit)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(operators.load()))
def test_each_variant_of_a_surface_is_trained_and_scored(
    name: str, micro_text: Path, tmp_path: Path, pool: Pool
) -> None:
    own_tokens(tmp_path)
    jobs: dict[str, Job] = {}
    for source in grounds(str(micro_text), tmp_path):
        data = dataset.unselected(experiment.parse(source.experiment).data).sha256
        for variant, edit in edits(source, name).items():
            child = operators.apply(source, edit)
            job = Job(
                model=child.model,
                experiment=child.experiment,
                data=data,
                seed=0,
                until=4 * STEP,
                budget=8 * STEP,
            )
            jobs.setdefault(variant, job)
    assert jobs
    found = outcomes(pool, **jobs)
    assert {variant: outcome for variant, outcome in found.items() if not isinstance(outcome, Scored)} == {}
