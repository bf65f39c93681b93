"""How likely a model finds text: nats of each token after the first, in windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

AT_ONCE = 2048  # tokens


@dataclass(frozen=True)
class Span:
    """Tokens to read, and how many at the end of them are to be predicted, each from those before it."""

    tokens: Sequence[int]
    predicted: int


def spans(tokens: Sequence[int], *, block_size: int, stride: int, given: int = 1) -> Iterator[Span]:
    """Cut a text into windows such that each token is predicted once, but for those `given` at its start.

    The first window is as long as there is room; each that follows moves on by `stride`, and predicts what is
    new. With a stride of block_size windows share nothing but one token, as in the score of a training.
    """
    assert 1 <= stride <= block_size
    assert 1 <= given <= block_size
    done = given
    while done < len(tokens):
        stop = min(len(tokens), block_size + 1 if done == given else done + stride)
        start = 0 if done == given else max(0, done - 1 - (block_size - stride))
        yield Span(tokens[start:stop], stop - done)
        done = stop


@torch.no_grad()
def nats(model: nn.Module, asked: Sequence[Span]) -> list[Tensor]:
    """Return for each span, (2, predicted): nats, and 1 where the token is the likeliest.

    Spans of like length run together; filling comes last, where a causal model does not see it.
    """
    model.eval()
    found: list[Tensor] = [torch.empty(0)] * len(asked)
    for numbers in _batches(asked):
        longest = max(len(asked[i].tokens) for i in numbers) - 1
        rows = torch.zeros(len(numbers), longest + 1, dtype=torch.long)
        for row, i in enumerate(numbers):
            rows[row, : len(asked[i].tokens)] = torch.tensor(asked[i].tokens)
        inputs, targets = rows[:, :-1].contiguous(), rows[:, 1:]
        logits = model(inputs, inputs)[0].float()
        for row, i in enumerate(numbers):
            stop = len(asked[i].tokens) - 1
            start = stop - asked[i].predicted
            part, wanted = logits[row, start:stop], targets[row, start:stop]
            likeliest = (part.argmax(dim=-1) == wanted).float()
            found[i] = torch.stack((F.cross_entropy(part, wanted, reduction="none"), likeliest))
    return found


def _batches(asked: Sequence[Span]) -> Iterator[list[int]]:
    batch: list[int] = []
    for i in sorted(range(len(asked)), key=lambda i: (len(asked[i].tokens), i)):
        if batch and (len(batch) + 1) * (len(asked[i].tokens) - 1) > AT_ONCE:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
