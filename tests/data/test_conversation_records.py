"""Conversations come in as ShareGPT, OpenAI or Alpaca records, and a bad one is known by its line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from conversation_helpers import talk
from hypothesis import given
from hypothesis import strategies as st

from foundry.data.conversations.message import Message
from foundry.data.conversations.reading import Bad, read
from foundry.errors import UserError

SHAREGPT = {
    "id": "x1",
    "conversations": [
        {"from": "system", "value": "Be brief."},
        {"from": "human", "value": "Hello"},
        {"from": "gpt", "value": "Hi."},
    ],
}
OPENAI = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi."},
    ]
}
ALPACA = {"instruction": "Add.", "input": "1 2", "output": "3"}
GOOD: list[dict[str, Any]] = [SHAREGPT, OPENAI, ALPACA]
EXPECTED = (
    talk("Hello", "Hi.", system="Be brief."),
    talk("Hello", "Hi.", system="Be brief."),
    (Message("user", "Add.", "1 2"), Message("assistant", "3")),
)

LAYOUTS = {
    "lines": lambda records: "".join(json.dumps(record) + "\n" for record in records),
    "lines with gaps": lambda records: "\n\n".join(json.dumps(record) for record in records),
    "windows": lambda records: "\ufeff" + "".join(json.dumps(record) + "\r\n" for record in records),
    "array": json.dumps,
    "array by hand": lambda records: "\n [\n" + "\n, ".join(map(json.dumps, records)) + "\n]\n",
    "indented": lambda records: json.dumps(records, indent=2),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_three_kinds_in_every_layout(layout: str, tmp_path: Path) -> None:
    path = tmp_path / "chats"
    path.write_bytes(LAYOUTS[layout](GOOD).encode("utf-8"))
    found = read(path, skip=False)
    assert found.conversations == EXPECTED
    assert found.bad == ()


def test_an_alpaca_record_may_have_no_input(tmp_path: Path) -> None:
    path = tmp_path / "chats.json"
    path.write_text(json.dumps([{"instruction": "Go.", "input": "", "output": "Gone."}]))
    assert read(path, skip=False).conversations == (talk("Go.", "Gone."),)


BAD: dict[str, tuple[Any, str]] = {
    "role": (
        {"messages": [{"role": "robot", "content": "x"}]},
        "the role 'robot' is none of system, user, assistant",
    ),
    "no text": ({"messages": [{"role": "user", "content": None}]}, "a message of user has no text"),
    "not a list": ({"conversations": "x"}, "`conversations` is not a list of messages"),
    "not messages": ({"messages": ["x"]}, "`messages` is not a list of messages"),
    "no kind": (
        {"text": "x"},
        "it needs one of the fields instruction, messages, conversations, and has 0 of them",
    ),
    "two kinds": (
        {**OPENAI, **ALPACA},
        "it needs one of the fields instruction, messages, conversations, and has 2",
    ),
    "no record": (17, "it needs one of the fields"),
    "silent": (
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": " "}]},
        "the assistant says nothing in it",
    ),
    "output": ({"instruction": "x", "output": 3}, "`output` is not text"),
    "half": (
        {"instruction": "x", "output": "\ud800"},
        "a message of assistant holds half a character",
    ),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("layout", ["lines", "array by hand"])
def test_a_bad_record_is_named_by_its_line(bad: str, layout: str, tmp_path: Path) -> None:
    record, reason = BAD[bad]
    path = tmp_path / "chats.jsonl"
    path.write_text(LAYOUTS[layout]([OPENAI, record, ALPACA]))
    line = {"lines": 2, "array by hand": 4}[layout]
    with pytest.raises(UserError, match=re.escape(f"'{path}', line {line}: {reason}")):
        read(path, skip=False)
    found = read(path, skip=True)
    assert found.conversations == (EXPECTED[1], EXPECTED[2])
    assert [b.line for b in found.bad] == [line]
    assert found.bad[0].reason.startswith(reason)


def test_a_line_that_is_not_json_is_bad(tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    path.write_text(json.dumps(OPENAI) + "\n{oh\n\n" + json.dumps(ALPACA) + "\n[1")
    with pytest.raises(UserError, match="line 2: it is not JSON"):
        read(path, skip=False)
    found = read(path, skip=True)
    assert found.bad == (Bad(2, "it is not JSON"), Bad(5, "it is not JSON"))
    assert len(found.conversations) == 2


@pytest.mark.parametrize("text", ["[{", "[{} {}]", "[{},]", '[\n{"a": 1},\nx]', "[1", "[,1]"])
def test_a_broken_array_is_refused_whatever_is_asked(text: str, tmp_path: Path) -> None:
    (path := tmp_path / "chats.json").write_text(text)
    with pytest.raises(UserError, match=r"line \d+: the array is not JSON from here on"):
        read(path, skip=True)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read(tmp_path / "none", skip=True)
    (path := tmp_path / "chats").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"is not UTF-8 text \(byte 0\)"):
        read(path, skip=True)
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path, skip=True)


def test_many_bad_records_are_told_in_a_few_lines(tmp_path: Path) -> None:
    (path := tmp_path / "chats").write_text("x\n" * 8 + json.dumps(OPENAI))
    notes = read(path, skip=True).notes("chats")
    assert notes[0] == "chats, line 1, is left out: it is not JSON"
    assert notes[-1] == "chats: 3 more records are left out"
    assert len(notes) == 6


@given(st.lists(st.sampled_from(GOOD)), st.sampled_from([None, 1, "\t"]))
def test_arrays_are_read_as_json_reads_them(records: list[Any], indent: int | str | None) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "chats.json")
        path.write_text(json.dumps(records, indent=indent))
        found = read(path, skip=False)
    assert found.conversations == tuple(EXPECTED[GOOD.index(record)] for record in records)
