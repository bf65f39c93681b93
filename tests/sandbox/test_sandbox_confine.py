"""All layers together: what they promise holds, and a training is the same under all of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sandbox_helpers import DONE, ROOT, attempt, needs_bubblewrap

from foundry.sandbox import bubblewrap, confine, level
from foundry.sandbox.rlimits import Amounts

TRAINING = Path(__file__).parent / "training_server.py"


def trainings(folder: Path, *levels: str, inside: bool = False) -> list[dict[str, object]]:
    """Train once with one thread and once with two at each level; say how that went."""
    command = [sys.executable, "-P", str(TRAINING), str(folder), *levels]
    if inside:
        command = bubblewrap.around(command, writable=[folder])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return list(json.loads(done.stdout))


def test_a_training_gives_the_same_numbers_at_every_level(tmp_path: Path) -> None:
    levels = [name for name in level.available() if name != "bwrap"]
    said = trainings(tmp_path, *levels)
    assert said[0]["saved"] == 12
    assert said == said[:2] * len(levels)


@pytest.mark.slow
@needs_bubblewrap
def test_a_training_gives_the_same_numbers_within_bubblewrap(tmp_path: Path) -> None:
    assert trainings(tmp_path, "bwrap", inside=True) == trainings(tmp_path, "process")


def confined(name: str, place: Path) -> None:
    confine.rehearse(name)
    confine.confine(
        name, readable=[place / "code"], writable=[place / "own"], amounts=Amounts(), keep=range(64)
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("code", "own"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    return tmp_path


def test_a_level_is_never_silently_weaker(place: Path) -> None:
    assert attempt(lambda: confined("bwrap", place)) == "OSError"


def test_descriptors_that_are_not_kept_are_closed(place: Path) -> None:
    with open(place / "code" / "file") as kept, open(place / "code" / "file") as closed:

        def narrowed() -> None:
            keep = [*range(64)]
            keep.remove(closed.fileno())
            confine.confine("process", readable=[], writable=[], amounts=Amounts(), keep=keep)

        assert attempt(lambda: os.fstat(kept.fileno()), after=narrowed) == DONE
        assert attempt(lambda: os.fstat(closed.fileno()), after=narrowed) == "OSError"
        assert attempt(lambda: os.fstat(closed.fileno())) == DONE
