"""Real git in temporary folders, for users whose own configuration is as unhelpful as it can be."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from genome import Arena, Candidate, Step

MODEL = "import torch\n\nACTIVATION = 'gelu'\nWIDTH = 128\n"
EXPERIMENT = "name: evolve\ntraining:\n  learning_rate: 1.0e-3\n"

RunGit = Callable[..., str]


@pytest.fixture(autouse=True)
def hostile_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the user a configuration that would break or change every commit made with it."""
    for variable in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(variable)
    home = tmp_path / "home"
    hooks = home / "hooks"
    hooks.mkdir(parents=True)
    for hook in ("pre-commit", "commit-msg", "reference-transaction", "post-checkout", "post-index-change"):
        (hooks / hook).write_text("#!/bin/sh\nexit 1\n")
        (hooks / hook).chmod(0o755)
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Someone Else\n\temail = someone@example.org\n\tsigningKey = nobody\n"
        f"[commit]\n\tgpgSign = true\n[core]\n\thooksPath = {hooks}\n\tautocrlf = true\n"
        "[init]\n\tdefaultBranch = trunk\n\tdefaultObjectFormat = sha256\n[i18n]\n\tcommitEncoding = latin1\n"
        "[trailer]\n\tseparators = =\n[diff]\n\tnoprefix = true\n\texternal = false\n"
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return home


@pytest.fixture
def git(tmp_path: Path) -> RunGit:
    """Run git as a person with a plain configuration would: `git(folder, *arguments)` returns its output."""
    plain = tmp_path / "plain.gitconfig"
    plain.write_text(
        "[user]\n\tname = A Person\n\temail = person@example.org\n[init]\n\tdefaultBranch = trunk\n"
    )

    def run(folder: Path, *arguments: str, status: int = 0, stdin: str = "") -> str:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        environment |= {"GIT_CONFIG_GLOBAL": str(plain), "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C.UTF-8"}
        environment |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_ALLOW_PROTOCOL": "file"}
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, done.stderr
        return done.stdout

    return run


@pytest.fixture
def arena(tmp_path: Path) -> Iterator[Arena]:
    with Arena.create(tmp_path / "runs" / "evolve") as arena:
        yield arena


@pytest.fixture
def home_repository(tmp_path: Path, git: RunGit) -> Path:
    """Make a person's own repository: history, a tag, a stash, staged, unstaged and untracked changes."""
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "-q")
    for number, text in enumerate(("one\n", "one\ntwo\n")):
        (folder / "train.py").write_text(text)
        git(folder, "add", "train.py")
        git(folder, "commit", "-q", "-m", f"step {number}")
    git(folder, "tag", "v1")
    git(folder, "branch", "topic", "HEAD~1")
    (folder / "train.py").write_text("set aside\n")
    git(folder, "stash", "push", "-q")
    (folder / "staged.py").write_text("staged\n")
    git(folder, "add", "staged.py")
    (folder / "train.py").write_text("one\ntwo\nnot staged\n")
    (folder / "untracked.txt").write_text("untracked\n")
    return folder


@pytest.fixture
def breed() -> Callable[..., Candidate]:
    """Commit a child that differs from every other: `breed(arena, number, *parents, **changes)`."""

    def commit(arena: Arena, number: int, *parents: Candidate, **changes: Any) -> Candidate:
        arguments: dict[str, Any] = {
            "generation": 1 + max((parent.generation for parent in parents), default=-1),
            "seed": 1337,
        }
        files = {"model.py": MODEL + f"STEP = {number}\n", "experiment.yaml": EXPERIMENT}
        step = {
            "operator": "swap_activation",
            "variant": "relu2",
            "site": "MLP.gelu",
            "words": f"MLP: GELU → ReLU² ({number})",
        }
        step |= {name: changes.pop(name) for name in step.keys() & changes}
        arguments["steps"] = [Step(**step)]
        return arena.commit(files, number=number, parents=parents, **(arguments | changes))

    return commit


@pytest.fixture
def seed_files() -> dict[str, str]:
    return {"model.py": MODEL, "experiment.yaml": EXPERIMENT}
