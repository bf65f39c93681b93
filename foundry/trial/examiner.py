"""The examiner of one trial: holds the data, hands out batches to train on, and computes the score itself.

A process of its own that never runs candidate code. It trusts nothing that comes over the wire: what it is
asked for is bounded by the job, and what it is told is logits or noise.
"""

from __future__ import annotations

import json
import math
import os
import socket
from collections.abc import Sequence
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
from foundry.trial.audit import SAME, SAME_ROUNDED, Ask, Auditor
from foundry.trial.job import Job
from foundry.trial.outcome import Crashed, Diverged, Outcome, Rejected, encode

TWINS = "twins"  # in a report: two processes are wanted that answer with the weights of the trainee


@dataclass(frozen=True)
class RefusedError(Exception):
    """The trial ends here, with this outcome."""

    outcome: Outcome


class Examiner:
    """Serves a trainee, then asks two processes that were made anew with its weights."""

    def __init__(self, job: Job, checkpoints: Path, wires: Sequence[socket.socket], report: int) -> None:
        self.job = job
        self.checkpoints = checkpoints
        self._trainee, self._scored, self._twin = wires
        self._report = report
        self._known: functions.Known | None = None

    def run(self) -> None:
        """Examine until there is a verdict, or nobody to examine."""
        try:
            self._open()
            last = self._serve(self._trainee)
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
        data = experiment.parse(self.job.experiment).data
        try:
            self._scored_on = dataset.unselected(data)
            self._dataset = dataset.load(data)
        except UserError as error:
            raise RefusedError(Crashed(reason=str(error))) from None
        if self._scored_on.sha256 != self.job.data:
            reason = f"data {self._dataset.name!r} is no longer what it was when the run began"
            raise RefusedError(Crashed(reason=reason))
        if self._dataset.tokenizer.sha256 != self._scored_on.tokenizer.sha256:
            reason = "its choice of training text changes the tokenizer"
            raise RefusedError(Rejected(gate="data", reason=reason))
        self._experiment = experiment.parse(self.job.experiment)

    def _serve(self, connection: socket.socket) -> dict[str, Any]:
        """Answer until the other side has nothing more to ask; return what it says then."""
        material = Held(self._dataset)
        batches: Batches | None = None
        while True:
            message = wire.receive(connection)
            match message.get("op"):
                case "begin":
                    marks = asdict(material.marks) if material.marks else None
                    wire.send(connection, {"vocab_size": self._dataset.vocab_size, "marks": marks})
                case "rows" if material.marks:
                    batches = self._rows(connection, material, str(message.get("single", "")))
                case "draw":
                    batches = batches or material.batches()
                    self._draw(connection, batches, _whole(message, "step"), _whole(message, "total"))
                case "known":
                    steps, total = _whole(message, "steps"), _whole(message, "total")
                    self._known = functions.Known(str(message.get("function"))[:64], steps, total)
                    if score := self._recalled():
                        wire.send(connection, {"known": True})
                        return {"op": "known", "score": score}
                    wire.send(connection, {"known": False})
                case "examine" | "ready":
                    return message
                case other:
                    raise wire.GarbledError(f"a wish for {str(other)[:40]!r}")

    def _rows(self, connection: socket.socket, material: Held, single: str) -> Batches:
        try:
            found = material.rows(block_size=self._experiment.block_size, single=single[:200])
        except UserError as error:
            raise RefusedError(Crashed(reason=str(error))) from None
        wire.send(connection, {})
        return found.batches

    def _draw(self, connection: socket.socket, batches: Batches, step: int, total: int) -> None:
        training = self._experiment.training
        inputs, targets = batches.draw(
            seed=self.job.seed,
            step=step,
            total=max(total, 1),
            batch_size=training.gradient_accumulation_steps * training.batch_size,
            block_size=self._experiment.block_size,
        )
        wire.send(connection, {"shape": list(inputs.shape)}, inputs, targets)

    def _recalled(self) -> tuple[float, float] | None:
        if self._known is None or self.job.foreign:
            return None
        return functions.recall(self.checkpoints, self._known, self.job)

    @torch.no_grad()
    def _examined(self, steps: int) -> tuple[float, float]:
        """Return nats per token and bits per byte over the whole split that the job names."""
        split = self._scored_on.splits[self.job.split]
        self._trainee.close()  # it ends, and never sees what is scored on
        self._tell({TWINS: True})
        sum_of = score.Nats()
        batches = list(score.batches_of(split, block_size=self._experiment.block_size))
        same = SAME if self._experiment.decoding.kv_cache == EXACT else SAME_ROUNDED
        auditor = Auditor(split, self.job.key, self._dataset.vocab_size, len(batches), same)
        answer = self._answers_of(self._scored)
        for inputs, targets in batches:
            logits = answer(inputs)
            sum_of.add(logits, targets)
            auditor.look(inputs, logits)
        if not math.isfinite(sum_of.mean):
            raise RefusedError(Diverged(step=steps))
        if wrong := auditor.verdict(self._answers_of(self._twin)):
            raise RefusedError(wrong)
        return score.in_bits(sum_of.mean, split)

    def _logits(self, connection: socket.socket, inputs: Tensor) -> Tensor:
        """Ask for the logits of inputs (B, T)."""
        wire.send(connection, {"shape": list(inputs.shape)}, inputs)
        shape = wire.receive(connection).get("shape")
        if shape != [*inputs.shape, self._dataset.vocab_size]:
            text = ", ".join(map(str, shape)) if isinstance(shape, list) else "?"
            reason = f"logits of shape ({text[:80]}) for inputs of {tuple(inputs.shape)}"
            raise RefusedError(Crashed(reason=reason))
        return wire.receive_tensor(connection, tuple(shape), torch.float32)

    def _answers_of(self, connection: socket.socket) -> Ask:
        gone = RefusedError(Crashed(reason="made anew with the same weights, it ended without an answer"))

        def ask(inputs: Tensor) -> Tensor:
            try:
                return self._logits(connection, inputs)
            except wire.ClosedError:
                raise gone from None

        try:
            self._serve(connection)
        except wire.ClosedError:
            raise gone from None
        return ask

    def _tell_score(self, found: tuple[float, float], *, steps: int, recalled: bool) -> None:
        function = self._known.function if self._known else ""
        loss, bits = found
        score = {"loss": loss, "bits_per_byte": bits, "function": function, "recalled": recalled}
        self._tell({**score, "steps": steps})

    def _tell(self, message: dict[str, object]) -> None:
        os.write(self._report, json.dumps(message).encode("utf-8") + b"\n")


def _whole(message: dict[str, Any], name: str) -> int:
    value = message.get(name)
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise wire.GarbledError(f"{name} {str(value)[:40]!r}")
    return value
