"""A pool for all tests of trials: a server takes seconds to start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from trial_helpers import EXPERIMENT, STEP, V1

from foundry.data import dataset
from foundry.data.settings import Data
from foundry.trial.job import Job, Limits
from foundry.trial.pool import Pool


@pytest.fixture(scope="session")
def micro_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "text.txt"
    path.write_text(dataset.read_text("shakespeare_char")[:20_000])
    return path


@pytest.fixture(scope="session")
def job(micro_text: Path) -> Job:
    experiment = EXPERIMENT.replace("shakespeare_char", str(micro_text))
    sha256 = dataset.load(Data(dataset=str(micro_text))).sha256
    return Job(
        model=V1, experiment=experiment, data=sha256, seed=0, until=5 * STEP, budget=20 * STEP, gated=False
    )


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="session")
def pool(checkpoints: Path) -> Iterator[Pool]:
    with Pool(2, checkpoints=checkpoints, limits=Limits(seconds=20, memory=1200 << 20)) as opened:
        yield opened
