"""A disk that is full, and one that cannot be written: a sentence, then the same result once it is mended."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from damage import copied
from killing import Run
from recovery_helpers import (
    LONGER,
    QUICK,
    check_whole,
    doctor,
    events,
    evolve,
    findings,
    one_sentence,
    refusal,
    result,
)

Mount = Callable[..., None]


@pytest.fixture
def mount() -> Iterator[Mount]:
    """Mount something at a folder, where that is allowed; it is gone after the test."""
    mounted: list[Path] = []

    def do(folder: Path, *arguments: object) -> None:
        command = ["mount", *map(str, arguments), str(folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            pytest.skip("a disk of our own takes the right to mount")
        if folder not in mounted:
            mounted.append(folder)

    yield do
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_an_arena_that_cannot_be_written(finished: Path, tmp_path: Path, mount: Mount) -> None:
    arena = copied(finished, tmp_path / "arena")
    mount(arena, "--bind", arena)
    mount(arena, "-o", "remount,ro,bind")
    said = refusal(arena)
    assert "cannot write to" in said
    assert "make it writable" in said
    assert any("cannot be written" in finding["what"] for finding in findings(arena))
    assert "Read-only file system" in one_sentence(doctor(arena, "--repair", code=2))
    mount(arena, "-o", "remount,rw,bind")
    assert "is well" in doctor(arena)


def fill_up(ballast: Path) -> None:
    """Write until nothing more can be written."""
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


@pytest.mark.parametrize(
    ("plan", "at"),
    [
        pytest.param(
            plan, at, marks=[] if (name, at) == ("short", 6) else pytest.mark.slow, id=f"{name}-{at}"
        )
        for name, plan in (("short", QUICK), ("longer", LONGER))
        for at in (1, 6, 14, 30)
    ],
)
def test_a_disk_that_fills_up(
    plan: list[str], at: int, request: pytest.FixtureRequest, micro: Path, tmp_path: Path, mount: Mount
) -> None:
    uninterrupted: Path = request.getfixturevalue("finished" if plan is QUICK else "longer")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount(disk, "-t", "tmpfs", "-o", "size=32m", "tmpfs")
    arena = disk / "arena"
    run = Run(arena, *plan, "--experiment", micro, "--workers", 2)
    run.wait_for_events(at)
    ballast = disk / "ballast"
    fill_up(ballast)
    assert run.finish() in (0, 2)
    if run.process.returncode == 2:
        assert "no space is left on the disk" in one_sentence(run.output)
    ballast.unlink()
    check_whole(arena)
    begun = events(arena) > 0  # a run that cannot even write down how it begins leaves nothing of itself
    evolve("--arena", arena, *(["--resume"] if begun else [*plan, "--experiment", micro]), "--workers", 2)
    assert result(arena) == result(uninterrupted)
    assert "is well" in doctor(arena)
