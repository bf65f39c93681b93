"""Source size: a file that a person can still read, and that does not grow without bound over generations."""

from __future__ import annotations

from foundry.gates.subject import Subject

ORDER = 10
MOST_BYTES = 100_000
MOST_LINES = 2_500


def examine(subject: Subject) -> str | None:
    size, lines = len(subject.source.encode("utf-8", "surrogatepass")), subject.source.count("\n") + 1
    if size > MOST_BYTES:
        return f"model.py is {size:,} bytes long, more than the limit of {MOST_BYTES:,}"
    if lines > MOST_LINES:
        return f"model.py is {lines:,} lines long, more than the limit of {MOST_LINES:,}"
    return None
