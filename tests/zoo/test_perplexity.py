"""`foundry perplexity`: every token counted once, with as much context as asked for."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from perplexity_support import BLOCK, SIZES, VOCABULARY, pretrained
from torch.nn import functional as F

from foundry.cli.perplexity import main
from foundry.data.pretrained.opening import read
from foundry.decoding.likelihood import nats, spans
from foundry.seed import read_model
from foundry.training import score
from foundry.zoo.filling import loaded

TEXT = "In the beginning there was the word, in this and that thing.\n" * 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = pretrained(tmp_path_factory.mktemp("tiny") / "llama")
    (place / "text.txt").write_text(TEXT)
    return place


def model(folder: Path) -> torch.nn.Module:
    return loaded(read_model("llama"), {**SIZES, "vocab_size": VOCABULARY}, folder)


@given(n=st.integers(2, 80), block=st.integers(1, 20), data=st.data())
def test_windows_predict_every_token_once_from_what_precedes_it(
    n: int, block: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(1, block))
    tokens = list(range(n))
    predicted: list[int] = []
    for number, span in enumerate(spans(tokens, block_size=block, stride=stride)):
        assert list(span.tokens) == tokens[span.tokens[0] : span.tokens[-1] + 1]
        assert len(span.tokens) - 1 <= block
        fresh = list(span.tokens[-span.predicted :])
        context = len(span.tokens) - span.predicted
        assert number == 0 or context == min(fresh[0], block - stride + 1)
        predicted += fresh
    assert predicted == tokens[1:]


def test_each_tokens_nats_are_those_of_the_model_with_that_context(folder: Path) -> None:
    network = model(folder)
    tokens = read(folder).encode(TEXT).tolist()[:60]
    windows = list(spans(tokens, block_size=BLOCK, stride=1))
    found = torch.cat([each[0] for each in nats(network, windows)])
    marks = torch.cat([each[1] for each in nats(network, windows)])
    for i in range(1, len(tokens)):
        context = torch.tensor([tokens[max(0, i - BLOCK) : i]])
        with torch.no_grad():
            logits = network(context)[0][0, -1]
        wanted = F.cross_entropy(logits[None], torch.tensor([tokens[i]]))
        assert found[i - 1] == pytest.approx(wanted.item(), abs=1e-4)
        assert bool(marks[i - 1]) == (int(logits.argmax()) == tokens[i])


def figures(folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, float]:
    assert main([str(folder), str(folder / "text.txt"), "--json", "--threads", "1", *options]) == 0
    found: dict[str, float] = json.loads(capsys.readouterr().out)
    return found


def test_windows_side_by_side_give_the_score_of_a_training(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = torch.from_numpy(read(folder).encode(TEXT).astype("int64"))
    found = figures(folder, capsys)
    loss = score.cross_entropy(model(folder), tokens, block_size=BLOCK)
    assert found["nats_per_token"] == pytest.approx(loss, abs=1e-5)
    assert found["perplexity"] == pytest.approx(math.exp(loss), rel=1e-4)
    bits = loss * len(tokens) / len(TEXT.encode()) / math.log(2)
    assert found["bits_per_byte"] == pytest.approx(bits, abs=1e-4)
    assert (found["tokens"], found["bytes"], found["stride"]) == (len(tokens), len(TEXT), BLOCK)


def test_what_the_model_expects_before_a_text_predicts_its_first_token(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = pretrained(tmp_path / "llama", starts=True)
    (folder / "text.txt").write_text(TEXT)
    found, ids = figures(folder, capsys), read(folder).encode(TEXT).tolist()
    tokens = torch.tensor([*read(folder).start, *ids])
    loss = score.cross_entropy(model(folder), tokens, block_size=BLOCK)
    assert found["nats_per_token"] == pytest.approx(loss, abs=1e-5)
    assert found["bits_per_byte"] == pytest.approx(loss * len(ids) / len(TEXT) / math.log(2), abs=1e-5)
    assert found["tokens"] == len(ids)


def test_part_of_a_text_and_less_context_can_be_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = figures(folder, capsys, "--tokens", "20", "--block", "8", "--stride", "4")
    ids = read(folder).encode(TEXT).tolist()[:20]
    total = sum(each[0].sum() for each in nats(model(folder), list(spans(ids, block_size=8, stride=4))))
    assert found["nats_per_token"] == pytest.approx(float(total) / 19, abs=1e-5)
    assert found["bytes"] == len(read(folder).decode(ids))


def test_a_person_reads_three_figures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder), str(folder / "text.txt"), "--threads", "1"]) == 0
    shown = capsys.readouterr().out
    for word in ("perplexity ", " nats per token", " bits per byte", " tokens of 183 bytes", "every 16"):
        assert word in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone", "text.txt"], "there is no folder gone"),
        (["smollm2-135m", "text.txt"], "smollm2-135m needs --weights"),
        (["smollm2-135m", "text.txt", "--weights", "gone"], "checkpoint gone does not exist"),
        (["FOLDER", "gone.txt"], "'gone.txt' does not exist"),
        (["FOLDER", "text.txt", "--block", "17"], "has 16 tokens of context, not 17"),
        (["FOLDER", "text.txt", "--stride", "17"], "a stride of 17 would leave out tokens: the block is 16"),
        (["FOLDER", "text.txt", "--tokens", "1"], "has 1 tokens: at least 2 are needed"),
    ],
)
def test_mistakes_are_answered_in_a_sentence(
    arguments: list[str],
    message: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    assert main([argument.replace("FOLDER", str(folder)) for argument in arguments]) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("\n") == 1
