"""Whatever is wrong with an arena is one sentence that names the thing and the remedy."""

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from genome import Arena, ArenaError, integrity
from genome.failures import explain, writing_to
from genome.repository import locate_repository


def test_no_git(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for enter in (Arena.create, Arena.open):
        with pytest.raises(ArenaError, match=r"git was not found on the PATH: install git 2\.28 or newer"):
            enter(tmp_path / "arena")
    assert not (tmp_path / "arena").exists()


def test_an_old_git(tmp_path, monkeypatch):
    stand_in = tmp_path / "bin" / "git"
    stand_in.parent.mkdir()
    stand_in.write_text("#!/bin/sh\necho git version 2.20.1\n")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stand_in.parent}:{os.environ['PATH']}")
    with pytest.raises(ArenaError, match=r"git version 2\.20\.1 is too old: install git 2\.28 or newer"):
        Arena.open(tmp_path)


def kill_git_at(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a git die by SIGKILL when it is told to do one thing, and do everything else."""
    real = shutil.which("git")
    stand_in = folder / "bin" / "git"
    stand_in.parent.mkdir()
    stand_in.write_text(f'#!/bin/sh\ncase " $* " in *" {command} "*) kill -9 $$;; esac\nexec {real} "$@"\n')
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stand_in.parent}:{os.environ['PATH']}")


@pytest.mark.parametrize("command", ["version", "rev-parse", "config"])
def test_a_git_that_is_killed_says_nothing_about_the_repository(command, arena, tmp_path, monkeypatch):
    arena.close()
    kill_git_at(command, tmp_path, monkeypatch)
    with pytest.raises(ArenaError, match=rf"^git {command} was killed \(signal 9\): run foundry doctor"):
        Arena.open(arena.path)


def test_a_git_that_is_killed_leaves_no_half_an_arena(tmp_path, monkeypatch):
    kill_git_at("init", tmp_path, monkeypatch)
    with pytest.raises(ArenaError, match=r"^git init was killed"):
        Arena.create(tmp_path / "arena")
    assert not (tmp_path / "arena").exists()


@pytest.mark.parametrize("command", ["fsck", "rev-list", "ls-files"])
def test_what_a_killed_git_has_not_said_is_no_fault(command, arena, seed_files, tmp_path, monkeypatch):
    arena.plant(seed_files, seed=0)
    arena.close()
    lost = next((arena.path / ".git" / "objects").glob("??/*"))
    lost.unlink()
    assert list(integrity.faults(locate_repository(arena.path)))
    kill_git_at(command, tmp_path, monkeypatch)
    with pytest.raises(ArenaError, match=rf"^git {command} was killed"):
        list(integrity.faults(locate_repository(arena.path)))


def test_no_repository(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(ArenaError, match=r"is not a git repository: run git init there"):
        Arena.open(tmp_path)
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "absent"):
        with pytest.raises(ArenaError, match=f"{path.name} is not a folder: give --arena a git repository"):
            Arena.open(path)


def test_sha256(tmp_path, git):
    git(tmp_path, "init", "-q", "--object-format=sha256", "modern")
    with pytest.raises(
        ArenaError, match=r"modern names its objects by sha256, Foundry by sha1: choose another"
    ):
        Arena.open(tmp_path / "modern")


def conflict(folder: Path, git) -> None:
    """Leave two branches that cannot be merged without a person."""
    git(folder, "stash", "drop", "-q")
    git(folder, "reset", "-q", "--hard")
    git(folder, "switch", "-q", "topic")
    (folder / "train.py").write_text("another\n")
    git(folder, "commit", "-q", "-a", "-m", "another")


@pytest.mark.parametrize("command", ["merge", "rebase", "cherry-pick", "revert"])
def test_in_the_middle_of(command, home_repository, git):
    conflict(home_repository, git)
    what = {"revert": "topic~1", "cherry-pick": "trunk"}.get(command, "trunk")
    git(home_repository, command, what, status=1)
    with pytest.raises(ArenaError, match=rf"in the middle of a {command}: .*git {command} --abort"):
        Arena.open(home_repository)
    git(home_repository, command, "--abort")
    Arena.open(home_repository).close()


def test_in_the_middle_of_a_bisect(home_repository, git):
    git(home_repository, "bisect", "start")
    with pytest.raises(ArenaError, match=r"in the middle of a bisect: end it first \(git bisect reset\)"):
        Arena.open(home_repository)


def test_a_branch_in_the_way(home_repository, git, seed_files):
    git(home_repository, "branch", "candidate")
    refs = git(home_repository, "for-each-ref")
    with Arena.open(home_repository) as arena:
        with pytest.raises(
            ArenaError, match=r"candidate of .*project stands in the way of candidate/g000-0000-seed"
        ):
            arena.plant(seed_files, seed=1)
        assert git(home_repository, "for-each-ref") == refs
        git(home_repository, "branch", "-m", "candidate", "another-name")
        seedling = arena.plant(seed_files, seed=1)
        git(home_repository, "branch", "champion/mine")
        with pytest.raises(ArenaError, match=r"git branch -m champion/mine another-name"):
            arena.crown(seedling)


def test_a_lock_left_by_a_dead_process(arena, breed, git, seed_files):
    seedling = arena.plant(seed_files, seed=1)
    child = breed(arena, 1, seedling)
    lock = arena.path / ".git" / "refs" / "notes" / "foundry.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text("")
    before = git(arena.path, "for-each-ref")
    with pytest.raises(ArenaError, match=rf"when none is running, delete {lock} and go on"):
        arena.reject(child, gate="syntax", reason="x")
    assert git(arena.path, "for-each-ref") == before
    lock.unlink()
    arena.reject(child, gate="syntax", reason="x")
    assert arena.candidates(rejected=False) == [seedling]
    assert arena.notes() == {child.commit: {"rejected": "syntax", "reason": "x"}}


def test_an_arena_that_is_gone(arena, seed_files):
    seedling = arena.plant(seed_files, seed=1)
    shutil.rmtree(arena.path)
    with pytest.raises(ArenaError, match=r"\.git is gone: was it moved or deleted\?"):
        arena.files(seedling)
    with pytest.raises(ArenaError, match="cannot write to"):
        arena.plant({"model.py": "x", "experiment.yaml": "y"}, seed=2)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only(arena, seed_files):
    objects = arena.path / ".git" / "objects"
    objects.chmod(0o555)
    try:
        with pytest.raises(ArenaError, match=f"cannot write to {objects}: make it writable"):
            Arena.open(arena.path)
        with pytest.raises(ArenaError, match="Permission denied"):
            arena.plant(seed_files, seed=1)
    finally:
        objects.chmod(0o755)


def test_a_full_disk_in_words(tmp_path):
    sentence = f"no space is left on the disk that holds {tmp_path}: free some"
    with pytest.raises(ArenaError, match=sentence), writing_to(tmp_path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    complaint = "fatal: Unable to create '/x/y.lock': No space left on device"
    assert explain(complaint, command="update-ref", place=tmp_path).startswith("no space is left on the disk")


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("a small disk of our own takes the right to mount")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk(small_disk, breed, git, seed_files):
    with Arena.create(small_disk / "arena") as arena:
        seedling = arena.plant(seed_files, seed=1)
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"x" * 250_000)

        def fill_up() -> None:
            for number in range(1, 200):
                arena.note({breed(arena, number, seedling): {"number": number}})

        with pytest.raises(ArenaError, match="no space is left on the disk that holds") as caught:
            fill_up()
        assert "\n" not in str(caught.value)
        ballast.unlink()
        assert git(arena.path, "fsck", "--strict", "--no-dangling") == ""
        born = len(arena.candidates())
        assert born > 1
        for number in range(1, born + 2):
            arena.note({breed(arena, number, seedling): {"number": number}})
        assert {note["number"] for note in arena.notes().values()} == {str(n) for n in range(1, born + 2)}


def test_a_repository_of_another_user_is_theirs_to_trust(home_repository, git, hostile_home):
    if os.geteuid() != 0:
        pytest.skip("giving files to another user takes root")
    for path in [home_repository, *home_repository.rglob("*")]:
        os.chown(path, 65534, 65534)
    with pytest.raises(ArenaError, match="dubious ownership"):
        Arena.open(home_repository)
    with (hostile_home / ".gitconfig").open("a") as config:
        config.write(f"[safe]\n\tdirectory = {home_repository}\n")
    Arena.open(home_repository).close()
