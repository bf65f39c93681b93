"""A long run: a thousand candidates, read by one process."""

import os
import shutil
from pathlib import Path

import pytest

from genome import Arena


@pytest.mark.slow
def test_a_thousand_candidates_are_read_by_one_for_each_ref(
    arena, breed, git, seed_files, tmp_path, monkeypatch
):
    family = [arena.plant(seed_files, seed=1)]
    for number in range(1, 1000):
        family.append(breed(arena, number, family[number // 2]))
        if number % 250 == 0:
            arena.reject(family[-1], gate="shapes", reason="no")
            arena.tidy()
    arena.note({member: {"val_search": member.number} for member in family})
    calls = tmp_path / "calls"
    counter = tmp_path / "bin" / "git"
    counter.parent.mkdir()
    counter.write_text(f'#!/bin/sh\necho "$@" >> {calls}\nexec {shutil.which("git")} "$@"\n')
    counter.chmod(0o755)
    with Arena.open(arena.path) as reader:
        monkeypatch.setenv("PATH", f"{counter.parent}:{os.environ['PATH']}")
        assert reader.candidates() == family
        (only,) = Path(calls).read_text().splitlines()
        assert " for-each-ref " in only
    assert len(arena.notes()) == 1000
    assert git(arena.path, "fsck", "--strict", "--no-dangling") == ""
