"""Initial loss: before it has learned anything, a model is about as good as guessing: ln(vocab) nats."""

from __future__ import annotations

import math

from foundry.gates.probe import cross_entropy, logits
from foundry.gates.subject import Subject

ORDER = 80
BELOW = 0.5  # nats; random targets cannot be guessed better, so less means that it has seen them
ABOVE = 2.0  # nats; more means an initialisation that training must first undo


def examine(subject: Subject) -> str | None:
    idx, targets = subject.tokens(8, subject.block_size), subject.tokens(8, subject.block_size, seed=1)
    loss = cross_entropy(logits(subject.fresh(), idx, targets), targets).item()
    guess = math.log(subject.vocab_size)
    if guess - BELOW <= loss <= guess + ABOVE:
        return None
    return (
        f"the loss at initialisation is {loss:.2f} nats, outside {guess - BELOW:.2f} to {guess + ABOVE:.2f} "
        f"around ln({subject.vocab_size}) = {guess:.2f}"
    )
