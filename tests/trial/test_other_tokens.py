"""A candidate may train on other tokens than its run: it is scored on the same text, in the same unit."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch

from foundry.data import dataset
from foundry.data.material import Held
from foundry.data.pretrained import patterns
from foundry.data.pretrained.definition import Definition, alphabet
from foundry.source import build_model, load_module
from foundry.training import experiment, init, loop
from foundry.training.fitting import fit
from foundry.trial.job import Job, Limits
from foundry.trial.outcome import Crashed, Outcome, Rejected, Scored
from foundry.trial.pool import Pool

V1 = resources.files("foundry").joinpath("models/v1.py").read_text("utf-8")
MICRO = (Path(__file__).parents[2] / "experiments" / "micro.yaml").read_text("utf-8")
CHATS = Path(__file__).parents[2] / "experiments" / "chats.jsonl"
STEPS = 5
BYTE_PAIRS = "tokenizer: bpe, vocab_size: 300"


def on(text: Path, data: str) -> str:
    """Write an experiment on a text with more to say about its data."""
    head, _, _ = MICRO.partition("data:")
    return f"{head}data: {{dataset: {text}, {data}}}\n"


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "text.txt"
    path.write_text(dataset.read_text("shakespeare_char")[:40_000].replace("e", "é"), "utf-8")
    return path


@pytest.fixture(scope="module")
def pools(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Pool]]:
    """One pool for a run on characters, one for a run on byte pairs."""
    opened = {
        data: Pool(
            2, checkpoints=tmp_path_factory.mktemp("own"), limits=Limits(seconds=60), preload=on(text, data)
        )
        for data in ("tokenizer: char", BYTE_PAIRS)
    }
    yield opened
    for pool in opened.values():
        pool.close()


def job(run: str, candidate: str) -> Job:
    """Ask for a few updates of a candidate, scored as the run wants it; both are experiments."""
    tokens = experiment.parse(candidate).tokens_per_step
    data = dataset.unselected(experiment.parse(run).data).sha256
    return Job(model=V1, experiment=candidate, data=data, seed=1, until=STEPS * tokens, budget=20 * tokens)


def outcome(pool: Pool, asked: Job) -> Outcome:
    pool.start("it", asked)
    while True:
        for _, found in pool.finished(timeout=1.0):
            return found


def nats_by_hand(text: str) -> tuple[float, str]:
    """Train here as a trial does; return the nats of the split that is scored, and its text."""
    parsed = experiment.parse(text)
    data = dataset.load(parsed.data)
    module, args = load_module(V1), parsed.sized_for(data.vocab_size)
    model = init.initialised(lambda: build_model(module, args), 1)
    batches = fit(model, Held(data), parsed, 1).batches
    optimizers = loop.build_optimizers(model, parsed.training)
    loop.train(model, optimizers, batches, parsed, seed=1, steps=range(STEPS), total=20)
    tokens = torch.from_numpy(data.splits["val_search"].tokens.astype(np.int64))
    found = []
    model.eval()
    with torch.no_grad():
        for start in range(0, len(tokens) - 1, parsed.block_size):
            row = tokens[start : start + parsed.block_size + 1]
            logits = model(row[None, :-1], row[None, :-1])[0][0].double().numpy()
            likely = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
            found += [-likely[place, token] for place, token in enumerate(row[1:])]
    assert len(found) == len(tokens) - 1
    return float(np.mean(found)) * len(tokens), data.decode(tokens.tolist())


def test_characters_and_byte_pairs_are_counted_in_the_same_unit(pools: dict[str, Pool], text: Path) -> None:
    run = on(text, "tokenizer: char")
    spelled = {}
    for data in ("tokenizer: char", f"{BYTE_PAIRS}, loss_per: char"):
        nats, spelled[data] = nats_by_hand(on(text, data))
        found = outcome(pools["tokenizer: char"], job(run, on(text, data)))
        assert isinstance(found, Scored), found
        assert found.loss == pytest.approx(nats / len(spelled[data]), rel=1e-5)
        n_bytes = len(spelled[data].encode("utf-8"))
        assert found.bits_per_byte == pytest.approx(nats / math.log(2) / n_bytes, rel=1e-5)
        assert found.tokens == STEPS * experiment.parse(run).tokens_per_step  # of its own
    characters, byte_pairs = spelled.values()
    assert characters == byte_pairs
    assert "é" in characters  # a token of two bytes


def test_to_name_the_own_unit_changes_nothing(pools: dict[str, Pool], text: Path) -> None:
    run = on(text, "tokenizer: char")
    asked = [job(run, on(text, data)) for data in ("tokenizer: char", "split: standard, loss_per: char")]
    found = [outcome(pools["tokenizer: char"], each) for each in asked]
    assert all(isinstance(each, Scored) for each in found), found
    assert len({(each.loss, each.bits_per_byte) for each in found if isinstance(each, Scored)}) == 1


def test_a_run_on_byte_pairs_takes_other_ones_and_characters(pools: dict[str, Pool], text: Path) -> None:
    run = on(text, BYTE_PAIRS)
    per_byte = []
    unit = dataset.load(experiment.parse(run).data).splits["val_search"]
    for data in (
        BYTE_PAIRS,
        f"{BYTE_PAIRS}, filters: [min_length=100]",  # of other text, other byte pairs
        "tokenizer: bpe, vocab_size: 400, loss_per: bpe-300",
        "tokenizer: char, loss_per: bpe-300",
    ):
        found = outcome(pools[BYTE_PAIRS], job(run, on(text, data)))
        assert isinstance(found, Scored), found
        bits = found.loss * len(unit.tokens) / unit.n_bytes / math.log(2)
        assert found.bits_per_byte == pytest.approx(bits, rel=1e-12)
        per_byte.append(bits)
    assert len(set(per_byte)) == 4
    assert max(per_byte) < 8  # of bytes that were all equally likely


@pytest.mark.parametrize("unit", ["", ", loss_per: bpe-301"])
def test_a_loss_in_another_unit_than_the_runs_is_none(pools: dict[str, Pool], text: Path, unit: str) -> None:
    run = on(text, "tokenizer: char")
    found = outcome(pools["tokenizer: char"], job(run, on(text, f"{BYTE_PAIRS}{unit}")))
    assert isinstance(found, Crashed), found
    assert found.reason.endswith("is no longer what it was when the run began")


@pytest.mark.parametrize("own", [True, False], ids=["own tokens", "pretrained"])
def test_another_format_of_conversations_is_scored_where_the_words_stay_the_same_tokens(
    own: bool, tmp_path: Path
) -> None:
    vocab = {letter: number for number, letter in enumerate(alphabet())}
    added = {"<|endoftext|>": 256, "<|im_start|>": 257, "<|im_end|>": 258}
    made = Definition(vocab=vocab, merges=[], added=added, pattern=patterns.GPT2, end=256)
    (tmp_path / "tokenizer.json").write_text(json.dumps(made.as_json()))
    tokens = BYTE_PAIRS if own else f"tokenizer: pretrained, vocabulary: {tmp_path}"
    run, other = (on(CHATS, f"{tokens}, conversations: {{format: {form}}}") for form in ("chatml", "alpaca"))
    run, other = (text.replace("block_size: 32", "block_size: 512") for text in (run, other))
    pool = Pool(1, checkpoints=tmp_path / "own", limits=Limits(seconds=60), preload=run)
    try:
        found = outcome(pool, job(run, other))
    finally:
        pool.close()
    if own:  # which are made of conversations as they are written
        assert isinstance(found, Rejected), found
        assert found.gate == "data"
    else:
        assert isinstance(found, Scored), found
