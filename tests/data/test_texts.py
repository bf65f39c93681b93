"""Texts are read piece by piece, from files, folders and lines of JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foundry.data import texts
from foundry.data.reading import scan
from foundry.data.texts import open_text, read_text
from foundry.errors import UserError


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 1000])
def test_pieces_join_to_the_file_wherever_characters_are_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    path = tmp_path / "text.txt"
    path.write_text("aé中𝄞\r\n" * 7, encoding="utf-8", newline="")
    monkeypatch.setattr(texts, "CHUNK", chunk)
    assert read_text(str(path)) == "aé中𝄞\r\n" * 7


@pytest.mark.parametrize(("end", "place"), [(b"\xff", 12), (b"\xe4\xb8", 12), (b"\xe4\xb8a", 12)])
@pytest.mark.parametrize("chunk", [1, 3, 4, 1000])
def test_the_first_bad_byte_is_named_whatever_the_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: bytes, place: int, chunk: int
) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes("中".encode() * 4 + end)
    monkeypatch.setattr(texts, "CHUNK", chunk)
    with pytest.raises(UserError, match=rf"is not UTF-8 text \(byte {place}\)"):
        read_text(str(path))


def test_a_folder_is_its_files_in_order_of_their_paths(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two.txt").write_text("Two.")
    (tmp_path / "a.txt").write_text("One.\n")
    (tmp_path / "c.jsonl").write_text('{"text": "Three."}\n\n{"text": "Four.", "id": 4}\n')
    (tmp_path / ".hidden").write_bytes(b"\xff")
    assert read_text(str(tmp_path)) == "One.\n\nTwo.\nThree.\nFour.\n"


def test_the_same_documents_are_the_same_data_in_files_and_in_lines(tmp_path: Path) -> None:
    documents = ["One\nand a half.", "Two.", "中"]
    for i, text in enumerate(documents):
        (tmp_path / f"{i}.txt").write_text(text, encoding="utf-8")
    lines = tmp_path.with_suffix(".jsonl")
    lines.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents))
    assert scan(open_text(str(tmp_path))) == scan(open_text(str(lines)))
    joined = tmp_path.with_suffix(".txt")
    joined.write_text(read_text(str(lines)), encoding="utf-8")
    assert scan(open_text(str(joined))).characters == scan(open_text(str(lines))).characters
    assert scan(open_text(str(joined))).sha256 != scan(open_text(str(lines))).sha256


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{text", "line 2, is not JSON"),
        ('{"body": "a"}', "line 2, has no field `text` that holds text"),
        ('["text"]', "line 2, has no field `text`"),
        ('{"text": "a\\ud834"}', "line 2, is not text: half a character at 1"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"text": "fine"}\n' + line)
    with pytest.raises(UserError, match=message):
        read_text(str(path))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no files"):
        read_text(str(tmp_path))
