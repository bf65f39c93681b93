"""Programs that compute the same, whatever their text: known by what a few updates make of them.

Common random numbers make the training of two such programs the same to the last bit, so the score of the one
is the score of the other, and need not be found twice. A program that others wrote could claim to be another
one and then do something else: such programs are always trained.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import nn

from foundry.keyed import seed_for
from foundry.training.experiment import Experiment
from foundry.trial.job import FUNCTIONS, Job

UPDATES = 3  # before the first, programs that learn differently may still compute the same
_PROBE = (2, 16)  # sequences, tokens


@torch.no_grad()
def fingerprint(model: nn.Module, experiment: Experiment, vocab_size: int) -> str:
    """Hash the logits of a probe after `UPDATES` updates, with all that decides how training goes on."""
    time = min(_PROBE[1], experiment.block_size)
    generator = torch.Generator().manual_seed(seed_for("function"))
    probe = torch.randint(vocab_size, (_PROBE[0], time), generator=generator)
    training = model.training
    model.eval()
    logits = model(probe, probe)[0].float().contiguous()
    model.train(training)
    settled = json.dumps(asdict(replace(experiment, name="", base_model="", mutations=())), default=str)
    return hashlib.sha256(logits.numpy().tobytes() + settled.encode("utf-8")).hexdigest()[:32]


@dataclass(frozen=True)
class Known:
    """A program by what it computes, and how far it is trained: so many updates of a schedule of `total`.

    Two programs that compute the same may cost differently, and be trained differently far for the same work.
    """

    function: str
    steps: int
    total: int


def recall(checkpoints: Path, known: Known, job: Job) -> tuple[float, float] | None:
    """Return nats per token and bits per byte of another program that computes the same, if there is one."""
    try:
        loss, bits = json.loads(_path(checkpoints, known, job).read_text("utf-8"))
    except (OSError, ValueError, TypeError):
        return None
    return float(loss), float(bits)


def remember(checkpoints: Path, known: Known, job: Job, score: tuple[float, float]) -> None:
    """Keep a score for `recall`."""
    path = _path(checkpoints, known, job)
    partial = path.with_suffix(f".{job.key[:16]}")
    with contextlib.suppress(OSError):  # a full disk costs time, not a score
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(score), "utf-8")
        partial.replace(path)


def _path(checkpoints: Path, known: Known, job: Job) -> Path:
    work = [known.function, known.steps, known.total, job.data, job.seed, job.split, job.inherits]
    return checkpoints / FUNCTIONS / f"{hashlib.sha256(json.dumps(work).encode('utf-8')).hexdigest()}.json"
