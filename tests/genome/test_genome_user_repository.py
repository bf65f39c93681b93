"""A person's own repository as the arena: it gains refs, and loses nothing."""

from pathlib import Path

import pytest

from genome import Arena, ArenaError

OURS = ("refs/heads/candidate", "refs/foundry", "refs/notes", "refs/heads/champion", "foundry", "objects")


def everything(folder: Path, git) -> dict[str, object]:
    """Photograph a repository: every file of its git directory and work tree, and what git says of them."""
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not str(path.relative_to(folder)).startswith(tuple(f".git/{name}" for name in OURS))
    }
    stamps = {name: (folder / name).stat().st_mtime_ns for name in files}
    status = git(folder, "status", "--porcelain=v2", "--branch")
    return {"files": files, "stamps": stamps, "status": status, "stash": git(folder, "stash", "list")}


def whole_run(arena: Arena, breed, seed_files) -> None:
    seedling = arena.plant(seed_files, seed=1)
    child, other = breed(arena, 1, seedling), breed(arena, 2, seedling)
    arena.note({child: {"val_search": 2.1}, seedling: {"val_search": 2.2}})
    arena.reject(other, gate="causality", reason="sees the future")
    arena.crown(child)
    arena.tidy()


def test_nothing_of_the_persons_is_touched(home_repository, git, breed, seed_files):
    before = everything(home_repository, git)
    with Arena.open(home_repository) as arena:
        whole_run(arena, breed, seed_files)
    assert everything(home_repository, git) == before
    assert git(home_repository, "fsck", "--strict", "--no-dangling") == ""
    assert git(home_repository, "branch", "--format=%(refname:short)") == (
        "candidate/g000-0000-seed\ncandidate/g001-0001-swap-activation-relu2\nchampion\ntopic\ntrunk\n"
    )
    git(home_repository, "stash", "pop", status=1)  # the person's changes are in its way, as before


def test_a_repository_without_a_commit_is_enough(tmp_path, git, breed, seed_files):
    git(tmp_path, "init", "-q", "fresh")
    before = everything(tmp_path / "fresh", git)
    with Arena.open(tmp_path / "fresh") as arena:
        whole_run(arena, breed, seed_files)
    assert everything(tmp_path / "fresh", git) == before


def test_a_bare_repository_is_enough(tmp_path, git, breed, seed_files):
    git(tmp_path, "init", "-q", "--bare", "fresh.git")
    with Arena.open(tmp_path / "fresh.git") as arena:
        whole_run(arena, breed, seed_files)
        assert arena.path == tmp_path / "fresh.git"
    assert git(tmp_path / "fresh.git", "fsck", "--strict", "--no-dangling") == ""


def test_a_linked_worktree_leads_to_the_same_arena_and_a_folder_inside_to_none(
    home_repository, git, tmp_path, seed_files
):
    git(home_repository, "worktree", "add", "-q", str(tmp_path / "linked"), "topic")
    (home_repository / "deep" / "down").mkdir(parents=True)
    with pytest.raises(ArenaError, match="inside the repository"):
        Arena.open(home_repository / "deep" / "down")
    with Arena.open(home_repository) as arena:
        seedling = arena.plant(seed_files, seed=1)
    linked = tmp_path / "linked"
    before = {path.name: path.read_bytes() for path in linked.iterdir()}
    with Arena.open(linked) as arena:
        assert arena.state == home_repository / ".git" / "foundry"
        assert arena.candidates() == [seedling]
        arena.crown(seedling)
    assert {path.name: path.read_bytes() for path in linked.iterdir()} == before
    assert git(linked, "status", "--porcelain") == ""


def test_a_calling_hooks_variables_lead_nowhere_else(
    home_repository, tmp_path, git, breed, seed_files, monkeypatch
):
    git(tmp_path, "init", "-q", "other")
    before = everything(tmp_path / "other", git)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other" / "index"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path / "other" / ".git" / "objects"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.bare")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "true")
    with Arena.open(home_repository) as arena:
        whole_run(arena, breed, seed_files)
        with Arena.create(tmp_path / "new") as new:
            whole_run(new, breed, seed_files)
            assert (new.path / "model.py").exists()
    assert everything(tmp_path / "other", git) == before
    assert list((tmp_path / "other" / ".git" / "objects").glob("??")) == []


def test_a_hostile_local_configuration_changes_nothing(home_repository, git, breed, seed_files, tmp_path):
    for key, value in {
        "i18n.commitEncoding": "latin1",
        "i18n.logOutputEncoding": "latin1",
        "trailer.separators": "=",
        "diff.noprefix": "true",
        "diff.external": "false",
        "core.abbrev": "40",
        "core.logAllRefUpdates": "always",
        "user.name": "Someone",
    }.items():
        git(home_repository, "config", key, value)
    (home_repository / ".git" / "info" / "attributes").write_text("*.py -diff\n")
    with Arena.open(home_repository) as arena, Arena.create(tmp_path / "plain") as plain:
        whole_run(arena, breed, seed_files)
        whole_run(plain, breed, seed_files)
        assert arena.candidates() == plain.candidates()
        seedling, child, _ = arena.candidates()
        assert arena.lineage(child) == [seedling, child]
        assert arena.diff(seedling, child) == plain.diff(seedling, child)


def test_branches_that_are_not_ours_are_passed_over(home_repository, git, seed_files):
    git(home_repository, "branch", "candidate/mine")
    with Arena.open(home_repository) as arena:
        assert not arena.candidates()
        seedling = arena.plant(seed_files, seed=1)
        git(home_repository, "branch", "candidate/copy", seedling.branch)
        assert arena.candidates() == [seedling]
        assert arena.candidates()


def test_a_champion_of_the_persons_own_stays(home_repository, git, seed_files):
    git(home_repository, "branch", "champion")
    mine = git(home_repository, "rev-parse", "champion")
    with Arena.open(home_repository) as arena:
        seedling = arena.plant(seed_files, seed=1)
        with pytest.raises(ArenaError, match=r"champion of .* is not Foundry's: rename it"):
            arena.crown(seedling)
    assert git(home_repository, "rev-parse", "champion") == mine
