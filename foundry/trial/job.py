"""What a worker is asked to do. Free of torch: the driver makes jobs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

FUNCTIONS = "functions"  # among the checkpoints, scores by what programs compute
SCRATCH = "scratch"  # there, too: temporary files of the trials under way
WEIGHTS = "weights.safetensors"  # in the temporary folder of a trial, for those that are examined
RUNG = "rung.safetensors"  # there, too, to go on from
_BESIDE = ("gated", "foreign", "begun")  # fields that make no other work of a job
ANSWERERS = "answerers"  # in an examiner's report: so many processes are to answer with the weights


@dataclass(frozen=True, kw_only=True)
class Job:
    """One trial: gate, train and score one candidate up to one rung with one seed."""

    model: str  # text of model.py
    experiment: str  # text of experiment.yaml
    data: str  # sha256 of the data set
    seed: int
    until: int  # train until so much has been spent
    budget: int  # of a full training: where the schedule ends
    unit: str = "tokens"  # what both count: training "tokens", "flops", or "work", see training/measure.py
    split: str = "val_search"  # what to score on
    gated: bool = True  # whether the gates run first; they have, where a trial goes on from a rung
    bounds: Mapping[str, int] = field(default_factory=dict)  # the most that fields of a Scored may be
    foreign: bool = False  # whether others wrote its source: then it shares no score with other programs
    begun: bool = False  # whether an earlier rung was asked for: then it is no news what its program computes
    inherits: str = ""  # training key of the parent whose weights this one starts from, where they fit

    @property
    def thorough(self) -> bool:
        """Whether its score is audited in full: if others wrote the source, and on the last rung."""
        return self.foreign or self.until >= self.budget

    @property
    def key(self) -> str:
        """The same for the same work, on any machine: what makes repeating a job harmless."""
        body = {name: value for name, value in asdict(self).items() if name not in _BESIDE}
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode("utf-8")).hexdigest()

    @property
    def training_key(self) -> str:
        """The same for all trials that are points on one training, whatever their rung or scoring split."""
        body = [self.model, self.experiment, self.data, self.seed, self.budget, self.unit, self.inherits]
        return hashlib.sha256(json.dumps(body).encode("utf-8")).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one trial may use."""

    seconds: float = 900.0
    memory: int = 2 << 30  # bytes of private memory, the preloaded torch included
    file_size: int = 4 << 30  # bytes of each file that it writes


def encode(name: str, job: Job, limits: Limits, checkpoints: Path) -> str:
    """Write a request to the server as one line; `name` comes back with the outcome."""
    body = {"id": name, "job": asdict(job), "limits": asdict(limits), "checkpoints": str(checkpoints)}
    return json.dumps(body)


def decode(line: str) -> tuple[Job, Limits, Path]:
    """Read what `encode` wrote."""
    body = json.loads(line)
    return Job(**body["job"]), Limits(**body["limits"]), Path(body["checkpoints"])
