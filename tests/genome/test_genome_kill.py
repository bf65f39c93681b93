"""kill -9 at any moment leaves a whole arena, and the same run goes on in it to the same result."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from genome import Arena

RUN = """
import sys
from genome import Arena, Step

def run(arena, births):
    files = {"model.py": "WIDTH = 128\\n" * 200, "experiment.yaml": "name: evolve\\n"}
    family = [arena.plant(files, seed=1)]
    for number in range(1, births):
        files = {"model.py": files["model.py"] + f"STEP = {number}\\n", "experiment.yaml": "name: evolve\\n"}
        parents = (family[number // 2], family[number - 1]) if number % 7 == 6 else (family[number // 2],)
        steps = [Step(words=f"step {number}", operator="perturb", variant=str(number), site="top")]
        child = arena.commit(
            files, number=number, generation=number // 10, parents=parents, seed=1, steps=steps
        )
        family.append(child)
        if number % 3 == 0:
            arena.reject(child, gate="causality", reason="sees the future")
        else:
            arena.note({child: {"val_search": 1 / number}})
        arena.crown(family[number - number % 3])
        if number % 20 == 0:
            arena.tidy()
        print(number, flush=True)

if __name__ == "__main__":
    with Arena.open(sys.argv[1]) as arena:
        run(arena, int(sys.argv[2]))
"""
BIRTHS = 45


@pytest.fixture(scope="module")
def run_births():
    namespace: dict = {"__name__": "births"}
    exec(compile(RUN, "births", "exec"), namespace)
    return namespace["run"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, run_births):
    with Arena.create(tmp_path_factory.mktemp("undisturbed") / "arena") as arena:
        run_births(arena, BIRTHS)
        return arena.candidates(), arena.candidates(rejected=False), arena.notes()


@pytest.mark.parametrize("births_before", [0, 1, 13, 20, 38])
def test_killed_and_gone_on(births_before, tmp_path, git, run_births, undisturbed):
    path = tmp_path / "arena"
    Arena.create(path).close()
    environment = dict(os.environ, PYTHONPATH=str(Path(__file__).parents[2]))
    command = [sys.executable, "-c", RUN, str(path), str(BIRTHS)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for _ in range(births_before):
            assert process.stdout.readline()
        while births_before == 0 and not (path / ".git" / "foundry").exists():
            pass  # at the earliest moment, while the seed model is planted
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert git(path, "fsck", "--strict", "--full", "--no-dangling") == ""
    everyone, alive, notes = undisturbed
    with Arena.open(path) as arena:
        left = arena.candidates()
        assert left == everyone[: len(left)]
        assert births_before <= len(left) < BIRTHS
        run_births(arena, BIRTHS)
        assert (arena.candidates(), arena.candidates(rejected=False), arena.notes()) == (
            everyone,
            alive,
            notes,
        )
    assert git(path, "status", "--porcelain") == ""
    assert git(path, "fsck", "--strict", "--full", "--no-dangling") == ""


def test_what_a_killed_run_left_half_written_goes_when_the_next_is_done(tmp_path: Path) -> None:
    with Arena.create(tmp_path / "arena") as arena:
        left = tmp_path / "arena" / ".git" / "objects" / "objnica3fj7"
        left.write_bytes(b"half of an ob")
        arena.tidy()
        assert not left.exists()
