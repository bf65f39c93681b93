"""Does a trained model still do what the gates have seen: look at no later token, and at no other row?

While a model is scored, some rows of some batches are noted. A twin, made anew in a process of its own with
nothing but the same weights, then sees these rows with everything else replaced by other tokens: the rest of
the batch and what follows in the row. What it says up to that place must be what the model said. The two
cannot agree on anything in between, so neither memory of what was asked nor knowing that this is the second
time helps.

Which rows is drawn from the text that is scored on and the job: the same in each repetition, and unknown to a
process that has never held that text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from foundry.data.splits import Split
from foundry.gates.probe import distance
from foundry.trial.outcome import AT_SCORING, Rejected

SAME = 1e-3  # relative; what experts round differently with other tokens beside them stays below
_SHARE = 32  # one batch in so many is audited, and one at least

Ask = Callable[[Tensor], Tensor]  # inputs (B, T) -> logits (B, T, vocabulary)


@dataclass(frozen=True)
class Audit:
    """Part of one answer, to be compared."""

    inputs: Tensor  # (B, T)
    row: int
    length: int  # tokens of the row that are kept
    said: Tensor  # (length, vocabulary)


class Auditor:
    """Chooses what is audited, and compares."""

    def __init__(self, split: Split, job_key: str, vocab_size: int) -> None:
        seed = hashlib.sha256(split.tokens.tobytes() + job_key.encode("ascii")).digest()[:8]
        self._generator = torch.Generator().manual_seed(int.from_bytes(seed, "big") >> 1)
        self._vocab_size = vocab_size
        self._noted: list[Audit] = []
        self._next = self._below(_SHARE)  # batch

    def look(self, number: int, last: bool, inputs: Tensor, logits: Tensor) -> None:
        """Note part of an answer, if it is this batch's turn."""
        if number != self._next and not (last and not self._noted):
            return
        self._next = (number // _SHARE + 1) * _SHARE + self._below(_SHARE)
        rows, time = inputs.shape
        row, length = self._below(rows), 1 + self._below(max(1, time - 1))  # some future, where there is any
        self._noted.append(Audit(inputs, row, length, logits[row, :length].clone()))

    def verdict(self, twin: Ask) -> Rejected | None:
        """Put the questions to the twin; say what is wrong, if it is wrong twice."""
        for audit in self._noted:
            if self._differs(audit, twin) and self._differs(audit, twin):
                return self._diagnosis(audit, twin)
        return None

    def _differs(self, audit: Audit, twin: Ask) -> bool:
        altered = self._others(audit.inputs)
        altered[audit.row, : audit.length] = audit.inputs[audit.row, : audit.length]
        return _apart(audit, twin(altered)) > SAME

    def _diagnosis(self, audit: Audit, twin: Ask) -> Rejected:
        if (apart := _apart(audit, twin(audit.inputs))) > SAME:
            reason = f"a twin with the same weights says something else: logits are {apart:.2g} apart"
            return Rejected(gate=f"state dict{AT_SCORING}", reason=reason)
        future = audit.inputs.clone()
        future[audit.row, audit.length :] = self._others(audit.inputs)[audit.row, audit.length :]
        if (apart := _apart(audit, twin(future))) > SAME:
            reason = f"logits up to position {audit.length - 1} change by {apart:.2g} when later tokens do"
            return Rejected(gate=f"causality{AT_SCORING}", reason=reason)
        reason = f"logits of row {audit.row} change when the other rows of its batch do"
        return Rejected(gate=f"batch independence{AT_SCORING}", reason=reason)

    def _others(self, inputs: Tensor) -> Tensor:
        """Replace every token by a different one."""
        steps = torch.randint(1, self._vocab_size, inputs.shape, generator=self._generator)
        return (inputs + steps) % self._vocab_size

    def _below(self, n: int) -> int:
        return int(torch.randint(n, (), generator=self._generator))


def _apart(audit: Audit, answer: Tensor) -> float:
    return distance(audit.said, answer[audit.row, : audit.length])
