"""`foundry data` as a shell sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundry.cli import main
from foundry.data import dataset
from foundry.data.settings import Data


def test_prepare_then_show_then_train_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("To be, or not to be.\n\n" * 100)
    command = "data prepare notes.txt --tokenizer bpe --vocab-size 270 --filter min_length=5 --dedupe exact"
    assert main(command.split()) == 0
    said = capsys.readouterr().out
    assert "tokenizer bpe: " in said
    assert "in an experiment: data: {dataset: data/notes_bpe}" in said
    assert main(["data", "show", "data/notes_bpe", "--check"]) == 0
    shown = capsys.readouterr().out
    assert "min_length=5 dedupe=exact" in shown
    assert "val_confirm" in shown
    assert shown.endswith("all files are as they were written\n")
    data = dataset.load(Data(dataset="data/notes_bpe"))
    assert data.sha256 in shown
    assert data.decode(data.splits["train"].tokens.tolist()) == "To be, or not to be.\n\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("prepare shakespear_char", "unknown data set 'shakespear_char': did you mean 'shakespeare_char'?"),
        ("prepare missing.txt", "data file 'missing.txt' does not exist"),
        ("prepare shakespeare_char --tokenizer bpee", "unknown tokenizer 'bpee': did you mean 'bpe'?"),
        ("prepare shakespeare_char --filter shortness=1", "unknown filter 'shortness': known: letters, "),
        ("prepare shakespeare_char --vocabulary a.txt", "data file 'a.txt' does not exist"),
        ("prepare shakespeare_char --out full", "full is there already: give another --out, or remove it"),
        (
            "prepare shakespeare_char --out full/file/made",
            "full/file/made cannot be written: Not a",
        ),
        ("show full", "full holds no prepared data: foundry data prepare makes it"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(
    command: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("full").mkdir()
    Path("full/file").touch()
    assert main(["data", *command.split()]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"foundry data: {message}")
    assert said.count("\n") == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "full"]
