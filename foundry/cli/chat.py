"""`foundry sample WHAT --chat`: talk with a model that was trained on conversations."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from foundry.data.conversations.chat import Dialogue, Until
from foundry.data.tokenizer import Tokenizer
from foundry.decoding.sampling import Sampling, generate, generators
from foundry.decoding.text import TextStream

if TYPE_CHECKING:
    from foundry.decoding.decoder import Decoder

PROMPT = "> "


@dataclass(frozen=True)
class Chat:
    """What answers: a decoder, a tokenizer and a way to choose tokens."""

    decoder: Decoder
    tokenizer: Tokenizer
    sampling: Sampling
    block_size: int
    tokens: int  # the most in one answer
    seed: int = 0

    def answer(self, dialogue: Dialogue, text: str, show: Callable[[str], None]) -> str:
        """Say something and show the answer as it comes; return it, white space around it left out.

        The same conversation with the same seed gets the same answer.

        Raises:
            UserError: the text cannot be spelled.
        """
        prompt = torch.from_numpy(dialogue.prompt(text).astype("int64"))[None]
        stream, until = TextStream(self.tokenizer.decode), Until(dialogue.stop_text, show)
        for ids in self._generated(prompt, dialogue):
            if int(ids[0]) == dialogue.stop:
                break
            until.push(stream.push(int(ids[0])))
            if until.ended:
                break
        until.push(stream.finish())
        until.finish()
        dialogue.reply(until.text.strip())
        return until.text.strip()

    def _generated(self, prompt: torch.Tensor, dialogue: Dialogue) -> Iterator[torch.Tensor]:
        return generate(
            self.decoder,
            prompt,
            self.tokens,
            self.sampling,
            generators(self.seed + len(dialogue.messages), 1),
            block_size=self.block_size,
            stop=dialogue.stop,
        )


def talk(chat: Chat, dialogue: Dialogue, lines: Iterable[str], *, ask: bool) -> None:
    """Answer line after line until there are no more; ask for each where a person sits at the terminal."""

    def show(text: str) -> None:
        print(text, end="", flush=True)

    if ask:
        print(f"An empty line ends the conversation.\n{PROMPT}", end="", flush=True)
    for line in lines:
        if not line.strip():
            break
        chat.answer(dialogue, line.strip(), show)
        print(f"\n{PROMPT}" if ask else "", end="" if ask else "\n", flush=True)
    sys.stdout.flush()
