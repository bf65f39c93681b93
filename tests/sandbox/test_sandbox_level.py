"""Levels: found by trying, named with what is missing, never silently another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sandbox_helpers import ROOT

from foundry.errors import UserError
from foundry.sandbox import level


def told(statement: str, path: str) -> str:
    """Run a statement in a Python that finds programs in `path` alone; return what it prints."""
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom foundry.sandbox import level\n{statement}"
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env={"PATH": path}, check=True, capture_output=True, text=True).stdout


def test_every_machine_has_a_process() -> None:
    found = level.available()
    assert found == tuple(name for name in level.LEVELS if name in found)
    assert found[0] == "process"


def test_auto_is_the_strongest_and_a_name_is_itself() -> None:
    assert level.choose("auto") == level.available()[-1]
    for name in level.available():
        assert level.choose(name) == name


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(UserError, match="did you mean 'landlock'"):
        level.choose("landlok")


def test_a_level_that_cannot_be_had_is_refused_with_the_reason() -> None:
    said = told("try: level.choose('bwrap')\nexcept level.UserError as error: print(error)", "/nowhere")
    strongest = "landlock" if "landlock" in level.available() else "process"
    assert said.startswith("--sandbox bwrap cannot be had: ")
    assert said.endswith(f"--sandbox auto would take {strongest}\n")


def test_a_shortfall_is_said_aloud() -> None:
    said = told("print(level.choose('auto'), '|', level.shortfall(level.choose('auto')))", "/nowhere")
    chosen, _, why = said.strip().partition(" | ")
    assert chosen != "bwrap"
    assert why.endswith(f"; trials run under {chosen}")
    assert "not asked for" in level.shortfall("process") or level.available() != level.LEVELS
    assert level.shortfall("bwrap") == ""


@pytest.mark.skipif(bool(why := level.missing("landlock")), reason=why)
def test_a_bubblewrap_that_does_not_run_is_none(tmp_path: Path) -> None:
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    program.chmod(0o755)
    said = told("print(level.available(), level.missing('bwrap'))", str(tmp_path))
    assert said.startswith("('process', 'landlock') ")
    assert "setting up uid map: Permission denied" in said


def test_asking_does_not_import_torch() -> None:
    said = told("from foundry.sandbox import confine, family; print('torch' in sys.modules)", "/bin:/usr/bin")
    assert said == "False\n"
