"""A dialogue with a trained model: what it is asked, and where its answer ends."""

from __future__ import annotations

import pytest
import torch
from conversation_helpers import BYTES, ORDINARY
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from foundry.cli.chat import Chat, talk
from foundry.data.conversations.chat import Dialogue, Until
from foundry.data.conversations.message import Message
from foundry.data.tokenizer import Tokenizer
from foundry.decoding.decoder import Decoder
from foundry.decoding.sampling import Sampling
from foundry.errors import UserError

STOP = "<|im_end|>"


@given(st.lists(st.sampled_from(["<", "|", "<|", "im_end", "|>", "text ", STOP, "<|im_"]), max_size=12))
def test_text_is_shown_up_to_the_end_however_it_comes(pieces: list[str]) -> None:
    shown: list[str] = []
    until = Until(STOP, shown.append)
    for piece in pieces:
        until.push(piece)
    until.finish()
    assert "".join(shown) == until.text == "".join(pieces).partition(STOP)[0]
    assert until.ended == (STOP in "".join(pieces))


def test_text_is_shown_as_soon_as_it_cannot_be_the_end() -> None:
    shown: list[str] = []
    until = Until(STOP, shown.append)
    for piece in ("Hi", "<", "3", " <|im", "_end"):
        until.push(piece)
    assert shown == ["Hi", "<3", " "]


class Parrot(nn.Module):
    """Says one text after any prompt, then goes on with nothing that makes sense."""

    def __init__(self, answer: list[int], vocab_size: int) -> None:
        super().__init__()
        self.answer, self.vocab_size, self.start = answer, vocab_size, 0
        self.nothing = nn.Parameter(torch.zeros(1))

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> tuple[Tensor, None]:
        self.start = self.start or idx.size(1)
        said = idx.size(1) - self.start
        logits = torch.zeros(*idx.shape, self.vocab_size)
        logits[:, -1, self.answer[said] if said < len(self.answer) else 33] = 100.0
        return logits, None


def chat(tokenizer: Tokenizer, answer: list[int]) -> Chat:
    decoder = Decoder(Parrot(answer, tokenizer.vocab_size))
    return Chat(decoder, tokenizer, Sampling(temperature=0), block_size=400, tokens=60)


@pytest.mark.parametrize("tokenizer", [BYTES, ORDINARY], ids=["one token", "spelled"])
def test_an_answer_ends_where_the_format_says(tokenizer: Tokenizer) -> None:
    dialogue = Dialogue("chatml", tokenizer, system="Be brief.")
    end = [dialogue.stop] if dialogue.stop is not None else tokenizer.encode(STOP).tolist()
    answer = [*tokenizer.encode("It is I, né.").tolist(), *end]
    shown: list[str] = []
    assert chat(tokenizer, answer).answer(dialogue, "Who's there?", shown.append) == "It is I, né."
    assert "".join(shown) == "It is I, né."
    assert dialogue.messages == (
        Message("system", "Be brief."),
        Message("user", "Who's there?"),
        Message("assistant", "It is I, né."),
    )
    assert tokenizer.decode(dialogue.prompt("Who?").tolist()) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWho's there?<|im_end|>\n"
        "<|im_start|>assistant\nIt is I, né.<|im_end|>\n<|im_start|>user\nWho?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_an_answer_that_never_ends_is_cut() -> None:
    found = chat(BYTES, []).answer(Dialogue("llama3", BYTES), "Hello", lambda _: None)
    assert found == "!" * 60


def test_what_cannot_be_spelled_was_not_said() -> None:
    from foundry.data.characters import Characters

    letters = Characters("".join(sorted({*"<|im_start|>user\n<|im_end|>assistant Hello"})))
    dialogue = Dialogue("chatml", letters)
    with pytest.raises(UserError, match="outside the vocabulary"):
        dialogue.prompt("é")
    assert dialogue.messages == ()
    dialogue.prompt("Hello")
    assert len(dialogue.messages) == 1


def test_lines_are_answered_one_after_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    answer = [*BYTES.encode("No.").tolist(), BYTES.special_tokens[STOP]]
    talk(chat(BYTES, answer), Dialogue("chatml", BYTES), ["Yes?\n", "\n", "never said\n"], ask=False)
    assert capsys.readouterr().out == "No.\n"
