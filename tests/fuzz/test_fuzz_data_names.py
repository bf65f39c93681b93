"""Names from outside reach git as names, never as options or commands; and nothing is ever unpickled."""

from __future__ import annotations

import ast
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

import evolve
from foundry.cli import board, doctor, show
from foundry.training import experiment
from genome import Arena, ArenaError, Step
from genome.message import write_message

ROOT = Path(__file__).parents[2]
SOURCES = [
    ROOT / "evolve.py",
    *(p for d in ("foundry", "genome", "operators", "population") for p in (ROOT / d).rglob("*.py")),
]
HOSTILE = (
    "--upload-pack=touch pwned",
    "--exec=touch pwned",
    "--output=pwned",
    "-c",
    "-",
    "--help",
    "ext::sh -c touch% pwned",
    "$(touch pwned)",
    ":(glob)*",
    "@{-1}",
    "HEAD^{/x}",
    "refs/heads/main:refs/heads/x",
    "über ±",
)
FILES = {"model.py": "WIDTH = 1\n", "experiment.yaml": "name: x\n"}


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Put a git in the way that writes down what it is called with, and then is git."""
    shim, log, real = tmp_path / "bin" / "git", tmp_path / "calls", shutil.which("git")
    shim.parent.mkdir()
    shim.write_text(
        f"#!/bin/sh\nfor a in \"$@\"; do printf '%s\\0' \"$a\"; done >> '{log}'\nexec '{real}' \"$@\"\n"
    )
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim.parent}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return lambda: log.read_text().split("\0")[:-1]


@pytest.fixture
def untouched(tmp_path: Path) -> Iterator[None]:
    yield
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_never_an_option(
    name: str, tmp_path: Path, arguments: Callable[[], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name.replace("/", "_")
    with Arena.create(path) as arena:
        seed_model = arena.plant(FILES, seed=0)
        steps = [Step(words=f"x {name}", operator=name, variant=name, site=name)]
        files = {**FILES, "model.py": name}
        child = arena.commit(files, number=1, generation=1, parents=[seed_model], steps=steps, seed=0)
        arena.reject(child, gate=name, reason=name)
        arena.note({seed_model: {"data": name}})
        arena.crown(child)
        assert arena.files(child)["model.py"] == name
        assert arena.lineage(child)[-1].steps[0].variant == name
        arena.diff(seed_model, child)
    assert Arena.open(path).candidates() == [seed_model, child]
    for command in (
        lambda: evolve.main([f"--arena={path.name}", "--resume"]),
        lambda: show.main(["--arena", str(path), "--", name]),
        lambda: board.main(["--", path.name]),
        lambda: doctor.main([f"--arena={path.name}"]),
    ):
        assert command() in (0, 1, 2)
    capsys.readouterr()
    called = arguments()
    assert len(called) > 50
    if name not in ("-", "-c"):  # of which we give git some ourselves
        assert not [argument for argument in called if argument.startswith(name)]


@pytest.mark.parametrize("separator", ["\n", "\r", "\0", "\x1b", "\u2028"])
def test_what_is_more_than_a_line_is_in_no_message(separator: str) -> None:
    for place in ("words", "operator", "variant", "site"):
        texts = dict.fromkeys(("words", "operator", "variant", "site"), "x") | {place: f"a{separator}Seed: 7"}
        with pytest.raises(AssertionError, match="more than one printable line"):
            write_message(number=1, generation=1, seed=0, steps=[Step(**texts)])


def test_a_folder_with_a_line_break_is_refused(tmp_path: Path) -> None:
    for enter in (Arena.create, Arena.open):
        (folder := tmp_path / "a\nb").mkdir(exist_ok=True)
        with pytest.raises(ArenaError, match="line break"):
            enter(folder)


FORBIDDEN = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}


def unsafe(tree: ast.AST) -> Iterator[str]:
    """Name what in a source would run code that lies in data."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.partition(".")[0] in FORBIDDEN)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in FORBIDDEN:
            if [name.name for name in node.names] != ["UnpicklingError"]:
                yield str(node.module)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if called in ("torch.jit.load", "torch.package.PackageImporter"):
                yield called
            if called == "torch.load" and given.get("weights_only") != "True":  # tensors and nothing else
                yield called
            if called in ("yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "yaml.unsafe_load_all"):
                yield called
            if called == "yaml.load" and given.get("Loader") not in ("_Loader", "yaml.SafeLoader"):
                yield called
            if called.endswith(".load") and given.get("allow_pickle", "False") != "False":
                yield called


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_of_ours_unpickles(path: Path) -> None:
    assert list(unsafe(ast.parse(path.read_text("utf-8")))) == []


def test_the_search_for_unsafe_loads_finds_them() -> None:
    for source in (
        "import pickle",
        "from pickle import loads",
        "torch.load(x)",
        "yaml.load(x)",
        "yaml.load(x, Loader=yaml.Loader)",
        "np.load(x, allow_pickle=True)",
    ):
        assert list(unsafe(ast.parse(source))), source
    assert issubclass(experiment._Loader, yaml.SafeLoader)
