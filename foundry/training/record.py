"""The evaluations of a training, in memory and as the lines of its `metrics.jsonl`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One line of metrics.jsonl; losses in nats per token."""

    step: int  # updates done
    tokens: int  # training tokens seen
    train_loss: float  # of the last batch before
    val_loss: float  # over the whole split val_search
    bits_per_byte: float
    tokens_per_second: float  # of training, since the evaluation before; the only figure that may differ


class Record:
    """What was measured so far. Of several processes only the one that `writes` touches the file."""

    def __init__(self, path: Path, *, writes: bool = True) -> None:
        self.path = path
        self.writes = writes
        self.evaluations: list[Evaluation] = []

    @property
    def best(self) -> Evaluation | None:
        """The evaluation with the lowest validation loss, the earlier where equal; None before the first."""
        return min(self.evaluations, key=lambda evaluation: evaluation.val_loss, default=None)

    def add(self, evaluation: Evaluation) -> None:
        """Append one evaluation."""
        self.evaluations.append(evaluation)
        if self.writes:
            with self.path.open("a") as file:
                file.write(json.dumps(asdict(evaluation)) + "\n")

    def go_back(self, step: int) -> None:
        """Read the file, and forget in it what was measured after `step` or cut off by a kill."""
        text = self.path.read_text() if self.path.exists() else ""
        lines = text[: text.rfind("\n") + 1].splitlines(keepends=True)
        kept = [line for line in lines if json.loads(line)["step"] <= step]
        self.evaluations = [Evaluation(**json.loads(line)) for line in kept]
        if self.writes and "".join(kept) != text:
            partial = self.path.with_suffix(".partial")
            partial.write_text("".join(kept))
            partial.replace(self.path)
