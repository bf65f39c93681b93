"""The examiner of one trial: holds the data, hands out batches to train on, and computes the score itself.

A process of its own that never runs candidate code. It trusts nothing that comes over the wire: what it is
asked for is bounded by the job, and what it is told is logits or noise.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from foundry.data import dataset
from foundry.data.batches import Batches
from foundry.data.material import Held
from foundry.decoding.kinds import EXACT
from foundry.errors import UserError
from foundry.training import experiment, score
from foundry.trial import functions, wire
from foundry.trial.audit import LIGHT, SAME, SAME_ROUNDED, Auditor
from foundry.trial.job import ANSWERERS, Job
from foundry.trial.outcome import Crashed, Diverged, Outcome, Rejected, encode


@dataclass(frozen=True)
class RefusedError(Exception):
    """The trial ends here, with this outcome."""

    outcome: Outcome


class Examiner:
    """Serves a trainee, then asks processes that were made anew with its weights: one, or two."""

    def __init__(self, job: Job, checkpoints: Path, wires: Sequence[socket.socket], report: int) -> None:
        self.job = job
        self.checkpoints = checkpoints
        self._trainee, self._scored, self._twin = wires
        self._report = report
        self._known: functions.Known | None = None

    def run(self, complaint: str | None) -> None:
        """Examine until there is a verdict, which a complaint about the data is, or nobody to examine."""
        try:
            if complaint is not None:
                raise RefusedError(Crashed(reason=complaint))
            self._open()
            self._greet()
            last = self._serve()
            if last["op"] == "known":
                self._tell_score(last["score"], steps=0, recalled=True)
            elif last["op"] == "examine":
                steps = _whole(last, "steps")
                found = self._examined(steps)
                if self._known and not self.job.foreign:
                    functions.remember(self.checkpoints, self._known, self.job, found)
                self._tell_score(found, steps=steps, recalled=False)
        except RefusedError as refusal:
            self._tell({"outcome": json.loads(encode(refusal.outcome))})
        except wire.GarbledError as error:
            self._tell({"outcome": json.loads(encode(Crashed(reason=f"its process sent {error}")))})
        except wire.ClosedError:
            return  # the process has ended; the server knows how

    def _open(self) -> None:
        self._experiment = experiment.parse(self.job.experiment)
        data = self._experiment.data
        try:
            self._scored_on = dataset.unselected(data)
            self._dataset = dataset.load(data)
        except UserError as error:
            raise RefusedError(Crashed(reason=str(error))) from None
        if self._scored_on.sha256 != self.job.data and data.conversations is not None:
            reason = "its conversations ask for other words, or in other tokens, than the run's"
            raise RefusedError(Rejected(gate="data", reason=reason))
        if self._scored_on.sha256 != self.job.data:
            reason = f"data {self._dataset.name!r} is no longer what it was when the run began"
            raise RefusedError(Crashed(reason=reason))
        self._own = self._scored_on.splits  # the same text in the tokens of the candidate
        if self._dataset.tokenizer.sha256 != self._scored_on.tokenizer.sha256:
            if data.conversations is not None:
                reason = "its choice of training text changes the tokenizer"
                raise RefusedError(Rejected(gate="data", reason=reason))
            self._own = self._dataset.splits
        self._material = Held(self._dataset)

    def _greet(self) -> None:
        """Tell all what they need to build a model, before they are there to ask: none waits for another."""
        marks = self._material.marks
        facts = {"vocab_size": self._dataset.vocab_size, "marks": asdict(marks) if marks else None}
        for connection in (self._trainee, self._scored, self._twin):
            wire.send(connection, facts)

    def _serve(self) -> dict[str, Any]:
        """Answer the trainee until it has nothing more to ask; return what it says then."""
        connection = self._trainee
        batches: Batches | None = None
        while True:
            message = wire.receive(connection)
            match message.get("op"):
                case "rows" if self._material.marks:
                    batches = self._rows(str(message.get("single", "")))
                case "draw":
                    batches = batches or self._material.batches()
                    self._draw(batches, _whole(message, "step"), _whole(message, "total"))
                case "known":
                    steps, total = _whole(message, "steps"), _whole(message, "total")
                    self._known = functions.Known(str(message.get("function"))[:64], steps, total)
                    if score := self._recalled():
                        wire.send(connection, {"known": True})
                        return {"op": "known", "score": score}
                    wire.send(connection, {"known": False})
                case "examine":
                    return message
                case other:
                    raise wire.GarbledError(f"a wish for {str(other)[:40]!r}")

    def _rows(self, single: str) -> Batches:
        try:
            return self._material.rows(block_size=self._experiment.block_size, single=single[:200]).batches
        except UserError as error:
            raise RefusedError(Crashed(reason=str(error))) from None

    def _draw(self, batches: Batches, step: int, total: int) -> None:
        training = self._experiment.training
        inputs, targets = batches.draw(
            seed=self.job.seed,
            step=step,
            total=max(total, 1),
            batch_size=training.gradient_accumulation_steps * training.batch_size,
            block_size=self._experiment.block_size,
        )
        wire.send(self._trainee, {"shape": list(inputs.shape)}, inputs, targets)

    def _recalled(self) -> tuple[float, float] | None:
        if self._known is None or self.job.foreign:
            return None
        return functions.recall(self.checkpoints, self._known, self.job)

    def _examined(self, steps: int) -> tuple[float, float]:
        """Return nats per token and bits per byte over the whole split that the job names."""
        self._trainee.close()  # it ends, and never sees what is scored on
        self._tell({ANSWERERS: 2 if self.job.thorough else 1})
        try:
            return self._scored_and_audited(steps)
        except wire.ClosedError:
            reason = "made anew with the same weights, it ended without an answer"
            raise RefusedError(Crashed(reason=reason)) from None

    @torch.no_grad()
    def _scored_and_audited(self, steps: int) -> tuple[float, float]:
        split = self._own[self.job.split]
        sum_of = score.Nats()
        batches = list(score.batches_of(split, block_size=self._experiment.block_size))
        same = SAME if self._experiment.decoding.kv_cache == EXACT else SAME_ROUNDED
        share = 1.0 if self.job.thorough else LIGHT
        rows = [len(inputs) for inputs, _ in batches]
        auditor = Auditor(split, self.job.key, self._dataset.vocab_size, rows, same, share)
        _await(self._scored)
        answers = self._answers(self._scored, [inputs for inputs, _ in batches])
        for (inputs, targets), logits in zip(batches, answers, strict=True):
            sum_of.add(logits, targets)
            auditor.look(inputs, logits)
        if not math.isfinite(sum_of.mean):
            raise RefusedError(Diverged(step=steps))
        again = self._scored
        if self.job.thorough:
            self._scored.close()  # it ends while its twin is asked
            again = self._twin
            _await(again)
        if wrong := auditor.verdict(lambda inputs: next(self._answers(again, [inputs]))):
            raise RefusedError(wrong)
        return score.in_bits(sum_of.mean, split, self._scored_on.splits[self.job.split])

    def _answers(self, connection: socket.socket, questions: Sequence[Tensor]) -> Iterator[Tensor]:
        """Ask for the logits of inputs (B, T), one after the other."""
        _ask(connection, questions[0])
        for inputs, following in itertools.zip_longest(questions, questions[1:]):
            logits = self._logits(connection, inputs)
            if following is not None:
                _ask(connection, following)  # before what was said is weighed, so that nobody waits
            yield logits

    def _logits(self, connection: socket.socket, inputs: Tensor) -> Tensor:
        """Take the answer to inputs (B, T)."""
        shape = wire.receive(connection).get("shape")
        if shape != [*inputs.shape, self._dataset.vocab_size]:
            text = ", ".join(map(str, shape)) if isinstance(shape, list) else "?"
            reason = f"logits of shape ({text[:80]}) for inputs of {tuple(inputs.shape)}"
            raise RefusedError(Crashed(reason=reason))
        return wire.receive_tensor(connection, tuple(shape), torch.float32)

    def _tell_score(self, found: tuple[float, float], *, steps: int, recalled: bool) -> None:
        function = self._known.function if self._known else ""
        loss, bits = found
        score = {"loss": loss, "bits_per_byte": bits, "function": function, "recalled": recalled}
        self._tell({**score, "steps": steps})

    def _tell(self, message: dict[str, object]) -> None:
        os.write(self._report, json.dumps(message).encode("utf-8") + b"\n")


def _ask(connection: socket.socket, inputs: Tensor) -> None:
    wire.send(connection, {"shape": list(inputs.shape)}, inputs)


def _await(connection: socket.socket) -> None:
    """Wait until a process has the weights; it trains on nothing, whatever rows it asks for."""
    while (op := wire.receive(connection).get("op")) != "ready":
        if op != "rows":
            raise wire.GarbledError(f"a wish for {str(op)[:40]!r}")


def _whole(message: dict[str, Any], name: str) -> int:
    value = message.get(name)
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise wire.GarbledError(f"{name} {str(value)[:40]!r}")
    return value
