"""The whole program, as a user runs it: real processes, real git, a real kill."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evolve import main as evolve_main
from foundry.cli import main as foundry_main
from foundry.data import dataset

ROOT = Path(__file__).parents[1]
QUICK = ["--generations", "2", "--population", "3", "--tokens", "5000", "--finalists", "1"]
ENVIRONMENT = {**os.environ, "NO_COLOR": "1", "COLUMNS": "80", "PYTHONUNBUFFERED": "1"}
LEAST = ["--generations", "1", "--population", "1", "--tokens", "2400"]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "text.txt"
    path.write_text(dataset.read_text("shakespeare_char")[:20_000])
    return path


@pytest.fixture(scope="module")
def micro(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("experiment") / "micro.yaml"
    path.write_text((ROOT / "experiments" / "micro.yaml").read_text().replace("shakespeare_char", str(text)))
    return path


def start(*arguments: object, cwd: Path = ROOT) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "evolve.py"), *map(str, arguments)],
        cwd=cwd,
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def evolve(*arguments: object, code: int = 0, cwd: Path = ROOT) -> str:
    process = start(*arguments, cwd=cwd)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == code, output
    return output


def here(main: Callable[[list[str]], int], *arguments: object, code: int = 0) -> str:
    """Run a command in this process, which is quicker, and return all that it said."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), contextlib.chdir(ROOT):
        returned = main([str(argument) for argument in arguments])
    assert returned == code, said.getvalue()
    return said.getvalue()


def refusal(*arguments: object) -> str:
    """Return what evolve.py says before it has started anything, where it ends with 2."""
    return here(evolve_main, *arguments, code=2)


def foundry(*arguments: object, code: int = 0) -> str:
    return here(foundry_main, *arguments, code=code)


def git(arena: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(arena), *arguments], check=True, text=True, capture_output=True
    ).stdout


def refs(arena: Path) -> str:
    """All that a run leaves in git, but for the notes, which hold speeds."""
    shown = git(arena, "for-each-ref", "--format=%(objectname) %(refname)")
    return "\n".join(line for line in shown.splitlines() if "refs/notes" not in line)


def scores(arena: Path) -> dict[str, float]:
    """The losses in the ledger, bit for bit, by the work they belong to."""
    ledger = arena / ".git" / "foundry" / "ledger.sqlite"
    with contextlib.closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT key, outcome FROM event WHERE kind = 'outcome'").fetchall()
    return {key: json.loads(outcome).get("loss") for key, outcome in rows}


@pytest.fixture(scope="module")
def finished(micro: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run on one worker that nothing interrupted, which says at its end what it has imported."""
    arena = tmp_path_factory.mktemp("finished") / "arena"
    options = [*QUICK, "--experiment", str(micro), "--arena", str(arena), "--workers", "1"]
    check = (
        "import sys, evolve\n"
        "early = 'scipy' in sys.modules\n"
        f"code = evolve.main({options!r})\n"
        "print('imported:', *['scipy early'] * early, *['torch'] * ('torch' in sys.modules))\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", check],
        cwd=ROOT,
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return arena, done.stdout


def test_a_run_ends_with_a_champion_and_says_where_to_look(finished: tuple[Path, str]) -> None:
    arena, output = finished
    assert "fresh seeds on val_confirm" in output
    assert f"git -C {arena} show champion:model.py" in output
    assert git(arena, "show", "champion:model.py").startswith('"""GPT-2')
    branches = git(arena, "branch", "--list", "candidate/*").split()
    assert "candidate/g000-0000-seed" in branches
    assert all(re.fullmatch(r"candidate/g\d{3}-\d{4,}-[a-z0-9.-]+", name) for name in branches)
    assert git(arena, "status", "--porcelain") == ""
    git(arena, "fsck", "--strict")
    report = output[output.index("Confirmation") :]
    assert all(len(line) <= 80 for line in report.splitlines() if "git -C" not in line)


def test_the_driver_never_imports_torch(finished: tuple[Path, str]) -> None:
    assert finished[1].splitlines()[-1] == "imported:"


def test_notes_tell_the_scores(finished: tuple[Path, str]) -> None:
    log = git(finished[0], "log", "--notes=foundry", "-1", "candidate/g000-0000-seed")
    assert re.search(r"val_search T/9 seed 0: \d\.\d{6}", log)
    assert re.search(r"val_confirm T seed 1000: \d\.\d{6}", log)


@pytest.mark.slow  # what is killed and resumed below has another number of workers, too
def test_the_number_of_workers_changes_nothing(
    finished: tuple[Path, str], micro: Path, tmp_path: Path
) -> None:
    arena = tmp_path / "arena"
    evolve(*QUICK, "--experiment", micro, "--arena", arena, "--workers", 2)
    assert refs(arena) == refs(finished[0])
    assert scores(arena) == scores(finished[0])


def test_stopped_killed_and_resumed_equals_uninterrupted(
    finished: tuple[Path, str], micro: Path, tmp_path: Path
) -> None:
    arena = tmp_path / "arena"
    process = start(*QUICK, "--experiment", micro, "--arena", arena, "--workers", 2)
    wait_for_outcomes(process, 1)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"python evolve.py --arena {arena} --resume" in output
    assert "Traceback" not in output
    process = start("--arena", arena, "--resume", "--workers", 2)
    wait_for_outcomes(process, 5)
    check_the_rest_after_a_kill(process, arena, finished[0])


@pytest.mark.slow
@pytest.mark.parametrize("outcomes", [2, 9])
def test_killed_and_resumed_equals_uninterrupted(
    finished: tuple[Path, str], micro: Path, tmp_path: Path, outcomes: int
) -> None:
    arena = tmp_path / "arena"
    process = start(*QUICK, "--experiment", micro, "--arena", arena, "--workers", 2)
    wait_for_outcomes(process, outcomes)
    check_the_rest_after_a_kill(process, arena, finished[0])


def check_the_rest_after_a_kill(process: subprocess.Popen[str], arena: Path, finished: Path) -> None:
    """Kill a run and take it up again: it has to end as the one did that nothing interrupted."""
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(scores(arena)) < len(scores(finished))
    evolve("--arena", arena, "--resume", "--workers", 2)
    assert refs(arena) == refs(finished)
    assert scores(arena) == scores(finished)
    git(arena, "fsck", "--strict")


def wait_for_outcomes(process: subprocess.Popen[str], number: int) -> None:
    """Read the run's output until so many trials have ended: each has its line."""
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(number)]
    assert all("tok/s" in line for line in lines), lines


def test_a_finished_run_can_be_looked_at_again_and_extended(
    finished: tuple[Path, str], micro: Path, tmp_path: Path
) -> None:
    arena = finished[0]
    before, known = refs(arena), scores(arena)
    assert "Confirmation" in evolve("--arena", arena, "--resume")
    assert (refs(arena), scores(arena)) == (before, known)
    copy = tmp_path / "arena"
    git(tmp_path, "clone", "-q", str(arena), str(copy))
    git(copy, "fetch", "-q", "origin", "+refs/*:refs/*", "--update-head-ok")
    (copy / ".git" / "foundry").mkdir()
    ledger = ".git/foundry/ledger.sqlite"
    (copy / ledger).write_bytes((arena / ledger).read_bytes())
    evolve("--arena", copy, "--resume", "--generations", 3)
    names = git(copy, "for-each-ref", "refs/heads/candidate", "refs/foundry/rejected").splitlines()
    born = [name for name in names if re.search(r"g\d{3}-\d{4}-", name)]  # ablation's have longer numbers
    assert len(born) == 10  # the seed model and three generations of three
    extended = refs(copy), scores(copy)
    assert json.loads(foundry("board", copy, "--json"))["generations"] == 3
    evolve("--arena", copy, "--resume")
    assert (refs(copy), scores(copy)) == extended


def test_data_that_changed_is_noticed_before_anything_is_recorded(tmp_path: Path) -> None:
    (data := tmp_path / "text.txt").write_text(dataset.read_text("shakespeare_char")[:20_000])
    arena, experiment = tmp_path / "ar [b]ena", ROOT / "experiments" / "micro.yaml"
    run = ["--experiment", experiment, "--dataset", data, "--arena", arena]
    process = start(*LEAST, *run)
    wait_for_outcomes(process, 1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    known = scores(arena)
    data.write_text(dataset.read_text("shakespeare_char")[1000:21_000])
    assert "is not what it was" in refusal("--arena", arena, "--resume")
    data.unlink()
    dataset.load.cache_clear()
    assert "does not exist" in refusal("--arena", arena, "--resume")
    assert scores(arena) == known


def test_a_deleted_branch_is_made_again_and_the_board_does_without(
    finished: tuple[Path, str], tmp_path: Path
) -> None:
    arena = tmp_path / "arena"
    git(tmp_path, "clone", "-q", str(finished[0]), str(arena))
    git(arena, "fetch", "-q", "origin", "+refs/*:refs/*", "--update-head-ok")
    (arena / ".git" / "foundry").mkdir()
    (arena / ".git" / "foundry" / "ledger.sqlite").write_bytes(
        (finished[0] / ".git" / "foundry" / "ledger.sqlite").read_bytes()
    )
    branch = git(arena, "for-each-ref", "--format=%(refname)", "refs/heads/candidate/g001*").split()[0]
    git(arena, "update-ref", "-d", branch)
    for extra in ([], ["--rebuild"]):
        assert json.loads(foundry("board", arena, "--json", *extra))["rows"]
    evolve("--arena", arena, "--resume")
    assert branch in git(arena, "for-each-ref", "--format=%(refname)")


def test_the_board_shows_the_same_later(finished: tuple[Path, str]) -> None:
    arena = finished[0]
    board = json.loads(foundry("board", arena, "--json"))
    assert board["phase"] == "done"
    assert board["births"] == 6
    rebuilt = json.loads(foundry("board", arena, "--json", "--rebuild"))
    facts = ("name", "words", "rung", "params", "flops", "kv_bytes")
    champions = [[row["name"] for row in b["rows"] if row["status"] == "champion"] for b in (board, rebuilt)]
    assert champions[0] == champions[1] != []
    assert [[row[f] for f in facts] for row in rebuilt["rows"]] == [
        [row[f] for f in facts] for row in board["rows"]
    ]
    for old, new in zip(board["rows"], rebuilt["rows"], strict=True):
        assert new["loss"] == pytest.approx(old["loss"], abs=1e-6)
    assert {row["status"] for row in board["rows"]} >= {"champion"}
    assert "g000-0000" in foundry("board", arena)


def test_transfer_ranks_the_best_again_after_longer_trainings(finished: tuple[Path, str]) -> None:
    said = foundry("transfer", finished[0], "--times", 2, "--best", 2)
    assert re.search(r"At 2 times the budget the best of 2 finalists (is still the best|comes in at)", said)
    assert "is no arena" in foundry("transfer", finished[0].parent, code=2)


def test_show_tells_where_a_candidate_comes_from(finished: tuple[Path, str]) -> None:
    arena = finished[0]
    shown = foundry("show", "1", "--arena", arena)
    assert "Lineage" in shown
    assert "diff --git" in shown
    assert foundry("show", "champion", "--arena", arena).startswith("g00")
    assert "unknown candidate 'nobody'" in foundry("show", "nobody", "--arena", arena, code=2)


def test_a_run_in_a_users_repository_imports_nothing_there_and_adds_refs_alone(
    micro: Path, tmp_path: Path
) -> None:
    git(tmp_path, "init", "-q", "-b", "trunk", ".")
    for name in ("timeit", "types", "operators"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "kept.txt").write_text("committed\n")
    git(tmp_path, "add", "kept.txt")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "mine")
    (tmp_path / "kept.txt").write_text("changed\n")
    (tmp_path / "staged.txt").write_text("staged\n")
    git(tmp_path, "add", "staged.txt")
    state = [git(tmp_path, *c.split()) for c in ("status --porcelain", "rev-parse HEAD", "symbolic-ref HEAD")]
    index = (tmp_path / ".git" / "index").read_bytes()
    assert "Look further" in evolve(*LEAST, "--experiment", micro, "--arena", tmp_path, cwd=tmp_path)
    assert (tmp_path / ".git" / "index").read_bytes() == index
    assert state == [
        git(tmp_path, *c.split()) for c in ("status --porcelain", "rev-parse HEAD", "symbolic-ref HEAD")
    ]
    assert git(tmp_path, "rev-parse", "trunk") == state[1]


BAD_INPUT = {
    "option": (["--generatoins", "3"], "did you mean '--generations'?"),
    "operator": (["--operators", "swap_activation,insert_qknrom"], "did you mean 'insert_qknorm'?"),
    "dataset": (["--dataset", "shakespear_char"], "did you mean 'shakespeare_char'?"),
    "data file": (["--dataset", "no/such.txt"], "'no/such.txt' does not exist"),
    "model": (["--seed-model", "v11"], "did you mean 'v1'?"),
    "model file": (["--seed-model", "tests/test_evolve.py"], "defines no language model"),
    "experiment": (["--experiment", "missing.yaml"], "'missing.yaml' does not exist"),
    "tokens": (["--tokens", "100"], "too few"),
    "resume": (["--resume"], "there is no run to resume"),
    "resume with a plan": (["--resume", "--seed", "3"], "--seed is part of the run"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_a_mistake_is_one_sentence_and_writes_nothing(case: str, tmp_path: Path) -> None:
    arguments, sentence = BAD_INPUT[case]
    arena = tmp_path / "arena"
    output = refusal(*arguments, "--arena", arena)
    assert sentence in output
    assert len(output.splitlines()) == 1
    assert not arena.exists()


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("learning_rate", "lerning_rate", "did you mean 'training.learning_rate'?"),
        ("n_layer", "n_layers", "did you mean 'n_layer'?"),
        ("n_embd: 32", "n_embd: 33", "33 is not divisible by n_head 2"),
        ("optimizer: adamw", "optimizer: adam", "did you mean 'adamw'?"),
        ("block_size: 32", "block_size: 4096", "fewer than a block of 4096"),
    ],
)
def test_a_mistake_in_an_experiment_is_named(
    micro: Path, tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(micro.read_text().replace(old, new))
    arena = tmp_path / "arena"
    assert sentence in refusal("--experiment", wrong, "--arena", arena, "--tokens", 10**7)
    assert not arena.exists()


def test_an_arena_that_is_something_else_is_refused(finished: tuple[Path, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert "not a git repository" in refusal("--arena", tmp_path)
    assert "go on with --resume" in refusal("--arena", finished[0])
    git(tmp_path, "init", "-q", ".")
    (tmp_path / ".git" / "MERGE_HEAD").write_text("0" * 40 + "\n")
    assert "merge" in refusal("--arena", tmp_path)


def test_without_git_one_sentence_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "evolve.py"), "--arena", str(tmp_path / "arena")],
        cwd=ROOT,
        env={**os.environ, "PATH": str(tmp_path)},
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "git" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_seed_model_that_fails_its_gate_ends_the_run(micro: Path, tmp_path: Path) -> None:
    source = (ROOT / "foundry" / "models" / "v1.py").read_text()
    wrong = tmp_path / "cheat.py"
    wrong.write_text(source.replace("is_causal=True", "is_causal=False"))
    output = evolve("--experiment", micro, "--seed-model", wrong, "--arena", tmp_path / "arena", code=2)
    assert "the seed model failed its own trial: Rejected: causality" in output
