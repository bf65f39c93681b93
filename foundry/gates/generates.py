"""Generates: `generate` extends its prompt, also beyond the block, and with top_k=1 as `forward` says."""

from __future__ import annotations

import torch
from torch import Tensor

from foundry.gates.probe import SAME, distance, logits
from foundry.gates.subject import Subject

ORDER = 150
NEW = 5
TIE = 1e-3  # in logits; either of two tokens this close may win


def examine(subject: Subject) -> str | None:
    model, block = subject.stirred().eval(), subject.block_size
    prompt = subject.tokens(2, block - 3)
    generate = getattr(model, "generate", None)
    if not callable(generate):
        return "GPT has no method generate"
    with torch.no_grad():
        last = model(prompt)[0][:, -1]
        text = generate(prompt, NEW, top_k=1)
    apart = distance(last, logits(model, prompt)[:, -1])
    if apart > SAME:
        return f"the last logits differ by {apart:.2g} without targets"
    problem = _malformed(text, prompt, subject.vocab_size)
    if problem is not None:
        return problem
    inside = text[:, :block].contiguous()  # beyond the block a model may forget or slide as it likes
    answer = logits(model, inside)
    for t in range(prompt.size(1), block):
        chosen = answer[:, t - 1].gather(1, inside[:, t : t + 1])[:, 0]
        short = (answer[:, t - 1].amax(dim=-1) - chosen).max().item()
        if short > TIE:
            return f"generate with top_k=1 puts a token at {t} that is {short:.2g} below forward's best"
    return None


def _malformed(text: object, prompt: Tensor, vocab_size: int) -> str | None:
    expected = (prompt.size(0), prompt.size(1) + NEW)
    if not isinstance(text, Tensor) or tuple(text.shape) != expected:
        shown = tuple(text.shape) if isinstance(text, Tensor) else type(text).__name__
        return f"generate returns {shown} instead of tokens of shape {expected}"
    if not text[:, : prompt.size(1)].equal(prompt):
        return "generate changes its prompt"
    if text.min() < 0 or text.max() >= vocab_size:
        return f"generate returns tokens outside the vocabulary of {vocab_size}"
    return None
