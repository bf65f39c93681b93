"""Trainings of adapters: the base stays, checkpoints are small, stopping and going on changes nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from lora_helpers import logits, plain
from safetensors.torch import load_file

from foundry.data.conversations.settings import Conversations
from foundry.data.dataset import load, unselected
from foundry.data.settings import Data
from foundry.decoding.trained import from_checkpoint
from foundry.errors import UserError
from foundry.lora import files
from foundry.lora.settings import Lora
from foundry.seed import read_model
from foundry.training import checkpoint
from foundry.training.experiment import Experiment, Training, parse
from foundry.training.session import Session
from foundry.trial.job import Job, Limits
from foundry.trial.outcome import Outcome, Scored
from foundry.trial.pool import Pool

TEXT = "if music be the food of love, play on; give me excess of it.\n" * 30
CHAT = '{"messages": [{"role": "user", "content": "and %d?"}, {"role": "assistant", "content": "so so"}]}\n'
ARGS: dict[str, object] = {"n_layer": 2, "n_head": 2, "n_kv_head": 1, "n_embd": 16, "block_size": 64}
TRAINING = Training(max_iters=9, eval_interval=3, batch_size=4, warmup_iters=2)


def experiment(folder: Path, conversations: Conversations | None = None) -> Experiment:
    (text := folder / "text.txt").write_text(TEXT)
    (chats := folder / "chats.jsonl").write_text("".join(CHAT % i for i in range(30)))
    data = Data(dataset=str(text))
    if conversations is not None:
        data = Data(dataset=str(chats), tokenizer="bpe", vocab_size=300, conversations=conversations)
    lora = Lora(rank=2, dropout=0.2, dora=True)
    return Experiment(base_model="v2", model_args=ARGS, training=TRAINING, data=data, lora=lora)


def session(asked: Experiment, folder: Path) -> Session:
    folder.mkdir(exist_ok=True)
    return Session(asked, read_model("v2"), load(asked.data), folder, seed=1)


def finish(training: Session) -> list[tuple[int, float, float]]:
    training.resume()
    for _ in training.updates():
        pass
    return [(e.step, e.train_loss, e.val_loss) for e in training.record.evaluations]


@pytest.mark.parametrize("conversations", [None, Conversations()], ids=["text", "conversations"])
def test_stopped_it_ends_the_same_and_the_base_is_as_it_was(
    conversations: Conversations | None, tmp_path: Path
) -> None:
    asked = experiment(tmp_path, conversations)
    training = session(asked, tmp_path / "whole")
    before = {name: p.detach().clone() for name, p in training.model.named_parameters()}
    whole = finish(training)
    moved = {name for name, p in training.model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name in before if "lora_" in name}
    for stop in (2, 5):
        first = session(asked, tmp_path / f"{stop}")
        assert len(list(islice(first.updates(), stop))) == stop
        first.save()
        assert finish(session(asked, tmp_path / f"{stop}")) == whole


def test_checkpoints_hold_what_trains_and_are_found_again(tmp_path: Path) -> None:
    asked = experiment(tmp_path)
    training = session(asked, tmp_path / "run")
    finish(training)
    stored = load_file(tmp_path / "run" / "latest.safetensors")
    assert all("lora_" in name for name in stored if name.startswith("model."))
    data = load(asked.data)
    found = from_checkpoint(tmp_path / "run" / "best.safetensors", read_model("v2"), asked, data)
    assert list(found.state_dict()) == list(plain("v2", **ARGS, vocab_size=data.vocab_size).state_dict())
    other = plain("v2", **ARGS, vocab_size=data.vocab_size)
    checkpoint.load(tmp_path / "run" / "base.safetensors", other, [])
    files.load(tmp_path / "run" / "adapter", other)
    torch.testing.assert_close(logits(found), logits(other), atol=1e-5, rtol=1e-5)


def job(folder: Path, conversations: Conversations | None) -> Job:
    asked = experiment(folder, conversations)
    lines = [f"model_args: {dict(ARGS)}", "lora: {rank: 2}", "training: {batch_size: 4, warmup_iters: 1}"]
    data = f"data: {{dataset: {asked.data.dataset}"
    if conversations is not None:
        packed = str(conversations.packed).lower()
        data += f", tokenizer: bpe, vocab_size: 300, conversations: {{packed: {packed}}}"
    text = "\n".join(["base_model: v2", *lines, data + "}"])
    parsed = parse(text)
    tokens = 3 * parsed.tokens_per_step
    sha256 = unselected(parsed.data).sha256
    made = Job(model=read_model("v2"), experiment=text, data=sha256, seed=0, until=tokens, budget=tokens)
    return replace(made, gated=False)


def test_trials_train_and_score_them(tmp_path: Path) -> None:
    kinds = {"text": None, "packed": Conversations(), "single": Conversations(packed=False)}
    jobs = {name: job(tmp_path, asked) for name, asked in kinds.items()}
    found: dict[str, Outcome] = {}
    limits = Limits(seconds=60, memory=1200 << 20)
    with Pool(1, checkpoints=tmp_path / "checkpoints", limits=limits) as pool:
        for name, each in jobs.items():
            pool.start(name, each)
            while name not in found:
                found.update(pool.finished(timeout=0.5))
    for name, outcome in found.items():
        assert isinstance(outcome, Scored), outcome
        vocab_size = load(parse(jobs[name].experiment).data).vocab_size
        assert abs(outcome.loss - math.log(vocab_size)) < 0.5


def test_the_sections_are_read_from_yaml() -> None:
    found = parse("lora: {rank: 4, alpha: 8, targets: [all-linear]}\ndata: {conversations: {format: llama3}}")
    assert found.lora == Lora(rank=4, alpha=8.0, targets=("all-linear",))
    assert found.data.conversations == Conversations(format="llama3")
    assert parse("lora: null").lora is None
    with pytest.raises(UserError, match=r"unknown key 'lora.rnk': did you mean 'lora.rank'"):
        parse("lora: {rnk: 4}")
    with pytest.raises(UserError, match=r"unknown key 'data.conversations.fromat'"):
        parse("data: {conversations: {fromat: llama3}}")
    with pytest.raises(UserError, match=r"lora must be a mapping"):
        parse("lora: 3")
