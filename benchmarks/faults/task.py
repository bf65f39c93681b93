"""What a contestant is given and what it gives back, as JSON files. Standard library alone."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Task:
    """Candidates to score, in order."""

    sources: dict[str, str]
    text: str  # path
    folder: str  # for whatever the contestant keeps
    steps: int
    seconds: float  # limit of one candidate
    workers: int = 2
    options: dict[str, str] = field(default_factory=dict)

    @property
    def answers(self) -> Path:
        """Where scores go, and what is said of candidates without one."""
        return Path(self.folder, "answers.json")

    def save(self) -> Path:
        """Write it into its folder."""
        path = Path(self.folder, "task.json")
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: str) -> Task:
        """Read what `save` wrote."""
        return cls(**json.loads(Path(path).read_text("utf-8")))


def answer(task: Task, scores: dict[str, float], said: dict[str, str]) -> None:
    """Write the results, whole or not at all."""
    partial = task.answers.with_suffix(".partial")
    partial.write_text(json.dumps({"scores": scores, "said": said}), encoding="utf-8")
    partial.replace(task.answers)
