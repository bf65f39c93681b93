"""The commands as a shell sees them."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from foundry.cli import COMMANDS, main
from foundry.cli.edge import guarded
from foundry.errors import UserError

ROOT = Path(__file__).parents[2]


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


def test_a_typo_names_the_nearest_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["baord"]) == 2
    assert capsys.readouterr().err == "foundry: unknown command 'baord': did you mean 'board'?\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_a_module_too(name: str) -> None:
    command = [sys.executable, "-m", f"foundry.{name}", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert f"foundry {name}" in done.stdout


def test_looking_where_there_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["board", str(tmp_path)]) == 2
    assert main(["show", "1", "--arena", str(tmp_path)]) == 2
    assert all("is no arena" in line for line in capsys.readouterr().err.splitlines())


def test_mistakes_are_sentences_and_faults_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    def mistake() -> int:
        raise UserError("no such thing")

    def full_disk() -> int:
        raise OSError(errno.ENOSPC, "No space left on device", "ledger.sqlite")

    def fault() -> int:
        raise ValueError("ours")

    assert guarded(mistake, name="evolve", debug=False) == 2
    assert guarded(full_disk, name="evolve", debug=False) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["evolve: no such thing", "evolve: No space left on device: ledger.sqlite"]
    with pytest.raises(UserError):
        guarded(mistake, name="evolve", debug=True)
    with pytest.raises(ValueError, match="ours"):
        guarded(fault, name="evolve", debug=False)
