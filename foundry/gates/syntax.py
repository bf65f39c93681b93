"""Syntax: the source parses and compiles."""

from __future__ import annotations

from foundry.gates.subject import Subject
from foundry.source import FILENAME

ORDER = 20


def examine(subject: Subject) -> str | None:
    compile(subject.tree, FILENAME, "exec", dont_inherit=True)  # finds what the parser lets through
    return None
