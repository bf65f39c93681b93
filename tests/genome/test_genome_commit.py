"""Same seed, same commits, byte for byte; and what git itself makes of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genome import Arena, ArenaError


def test_ids_are_the_same_in_every_arena(arena, tmp_path, breed, seed_files, home_repository):
    with Arena.create(tmp_path / "second") as second, Arena.open(home_repository) as users:
        ids = []
        for place in (arena, second, users):
            seedling = place.plant(seed_files, seed=1337)
            child = breed(place, 1, seedling)
            both = breed(place, 2, child, seedling)
            ids.append([seedling.commit, child.commit, both.commit])
    assert ids[0] == ids[1] == ids[2]
    assert ids[0] == [
        "01a29dd10a7def06ec608e24c2597cd5f3ef8fe8",
        "0baf6e6568296756e86d82e081c0b1623ed75056",
        "a88d0cd12051ed898f7f4afb838eb5eec91e1fbd",
    ]


def test_a_commit_is_written_as_git_would_write_it(arena, breed, git, seed_files):
    seedling = arena.plant(seed_files, seed=1337)
    child = breed(arena, 1, seedling)
    assert git(arena.path, "cat-file", "commit", child.branch) == (
        f"tree {child.tree}\n"
        f"parent {seedling.commit}\n"
        "author Foundry <foundry@localhost> 1577836801 +0000\n"
        "committer Foundry <foundry@localhost> 1577836801 +0000\n"
        "\n"
        "MLP: GELU → ReLU² (1)\n"
        "\n"
        "Foundry-Number: 1\n"
        "Operator: swap_activation\n"
        "Variant: relu2\n"
        "Site: MLP.gelu\n"
        "Generation: 1\n"
        "Seed: 1337\n"
    )
    assert git(arena.path, "ls-tree", "--name-only", child.commit) == "experiment.yaml\nmodel.py\n"
    assert git(arena.path, "show", f"{child.branch}:model.py") == arena.files(child)["model.py"]
    assert git(arena.path, "fsck", "--strict", "--full", "--no-dangling") == ""


def test_git_names_the_same_files_and_message_alike(arena, breed, git, seed_files, tmp_path):
    seedling = arena.plant(seed_files, seed=1337)
    child = breed(arena, 1, seedling)
    git(tmp_path, "init", "-q", "reference")
    reference = tmp_path / "reference"
    for name, text in arena.files(child).items():
        (reference / name).write_text(text)
    git(reference, "add", ".")
    (tree,) = git(reference, "write-tree").split()
    message = git(arena.path, "log", "-1", "--format=%B", child.commit).rstrip("\n") + "\n"
    signature = "Foundry <foundry@localhost> 1577836801 +0000"
    raw = f"tree {tree}\nparent {seedling.commit}\nauthor {signature}\ncommitter {signature}\n\n{message}"
    assert (
        git(reference, "hash-object", "-t", "commit", "--literally", "--stdin", stdin=raw)
        == child.commit + "\n"
    )


def test_two_parents_make_a_merge(arena, breed, git, seed_files):
    seedling = arena.plant(seed_files, seed=1)
    mother, father = breed(arena, 1, seedling), breed(arena, 2, seedling)
    child = breed(arena, 3, mother, father)
    assert child.parents == (mother.commit, father.commit)
    assert git(arena.path, "log", "--merges", "--format=%H %P", child.branch) == (
        f"{child.commit} {mother.commit} {father.commit}\n"
    )


def test_files_survive_byte_for_byte(arena, breed, seed_files):
    odd = {"model.py": "a = 'π → ∞'\r\n\tb\0c\r", "experiment.yaml": ""}
    seedling = arena.plant(odd, seed=1)
    assert arena.files(seedling) == odd == arena.files(seedling.commit)


def test_planting_fills_an_arena_of_our_own(arena, breed, git, seed_files):
    seedling = arena.plant(seed_files, seed=1337)
    assert seedling.branch == "candidate/g000-0000-seed"
    assert seedling.parents == ()
    assert git(arena.path, "rev-parse", "--abbrev-ref", "HEAD") == "main\n"
    assert git(arena.path, "rev-parse", "main") == seedling.commit + "\n"
    assert git(arena.path, "status", "--porcelain") == ""
    assert (arena.path / "model.py").read_text() == seed_files["model.py"]
    child = breed(arena, 1, seedling)
    assert "+STEP = 1" in git(arena.path, "diff", f"main..{child.branch}")


def test_planting_again_leaves_what_a_person_did_on_main(arena, git, seed_files):
    arena.plant(seed_files, seed=1)
    (arena.path / "model.py").write_text("mine\n")
    git(arena.path, "commit", "-q", "-a", "-m", "mine")
    (arena.path / "model.py").write_text("mine, not committed\n")
    arena.plant(seed_files, seed=1)
    assert (arena.path / "model.py").read_text() == "mine, not committed\n"
    assert git(arena.path, "log", "--format=%s", "main") == "mine\nSeed model\n"


def test_committing_again_changes_nothing(arena, breed, git, seed_files):
    seedling = arena.plant(seed_files, seed=1)
    first = breed(arena, 1, seedling)
    refs = git(arena.path, "for-each-ref")
    assert breed(arena, 1, seedling) == first
    with Arena.open(arena.path) as reopened:
        assert reopened.plant(seed_files, seed=1) == seedling
        assert breed(reopened, 1, seedling) == first
    assert git(arena.path, "for-each-ref") == refs


def test_another_run_in_the_arena_is_told_so(arena, breed, git, seed_files):
    seedling = arena.plant(seed_files, seed=1)
    breed(arena, 1, seedling)
    refs = git(arena.path, "for-each-ref")
    with pytest.raises(
        ArenaError, match=r"holds another run: its candidate 1 is g001-0001-swap-activation-relu2"
    ):
        breed(arena, 1, seedling, operator="swap_norm", variant="rmsnorm")
    with pytest.raises(ArenaError, match="another run: its candidate 0"):
        arena.plant(seed_files, seed=2)
    assert git(arena.path, "for-each-ref") == refs


def test_a_branch_that_a_person_made_is_not_taken(arena, breed, git, seed_files):
    seedling = arena.plant(seed_files, seed=1)
    git(arena.path, "branch", "candidate/g001-0001-swap-activation-relu2", "main")
    with pytest.raises(
        ArenaError, match=r"g001-0001-swap-activation-relu2 .* is not what Foundry put there: rename"
    ):
        breed(arena, 1, seedling)


def test_create_refuses_a_folder_with_something_in_it(tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("precious\n")
    for path in (full, full / "thesis.txt"):
        with pytest.raises(ArenaError, match=f"{path.name} exists and is not empty"):
            Arena.create(path)
    assert [item.name for item in full.iterdir()] == ["thesis.txt"]


def test_create_takes_an_empty_folder_and_leaves_nothing_beside_it(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    Arena.create(tmp_path / "a" / "b").close()
    assert [item.name for item in (tmp_path / "a").iterdir()] == ["b"]
    assert [item.name for item in (tmp_path / "a" / "b").iterdir()] == [".git"]


def test_a_create_that_fails_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArenaError, match="Not a directory"):
        Arena.create(tmp_path / "file" / "deep" / "arena")
    long = "x" * 300
    with pytest.raises(ArenaError, match="File name too long"):
        Arena.create(tmp_path / "new" / "folders" / long)
    assert not (tmp_path / "new").exists()


def test_the_state_folder_lies_in_the_git_directory(arena, git, seed_files):
    arena.plant(seed_files, seed=1)
    (arena.state / "ledger.sqlite").write_text("")
    assert arena.state == arena.path / ".git" / "foundry"
    assert git(arena.path, "status", "--porcelain") == ""
    assert git(arena.path, "fsck", "--strict") == ""


def test_no_process_is_left_behind(tmp_path):
    script = (
        "import os, sys\n"
        "from genome import Arena\n"
        "with Arena.create(sys.argv[1]) as arena:\n"
        "    seedling = arena.plant({'model.py': 'a', 'experiment.yaml': 'b'}, seed=1)\n"
        "    arena.files(seedling), arena.lineage(seedling), arena.note({seedling: {'a': 1}})\n"
        "    try:\n"
        "        os.waitpid(-1, os.WNOHANG)\n"
        "    except ChildProcessError:\n"
        "        print('no children, while the arena is open')\n"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", script, str(tmp_path / "arena")],
        env=dict(os.environ, PYTHONPATH=root),
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("no children, while the arena is open\n", "")


def test_a_second_process_may_read_and_not_write(arena, seed_files):
    arena.plant(seed_files, seed=1)
    script = (
        "import sys\n"
        "from genome import Arena, ArenaError\n"
        "with Arena.open(sys.argv[1]) as arena:\n"
        "    seedling, = arena.candidates()\n"
        "    try:\n"
        "        arena.crown(seedling)\n"
        "    except ArenaError as error:\n"
        "        print(error)\n"
    )
    command = [sys.executable, "-c", script, str(arena.path)]
    environment = dict(os.environ, PYTHONPATH=str(Path(__file__).parents[2]))
    refused = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert "another process is writing to the arena" in refused.stdout
    arena.close()
    allowed = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (allowed.stdout, allowed.stderr) == ("", "")
