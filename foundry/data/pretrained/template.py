"""What a tokenizer.json puts before a text: its post-processor, a template with a place for the text."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

_KIND = "TemplateProcessing"


def start_of(processor: Mapping[str, Any] | None) -> tuple[int, ...]:
    """List the tokens before a text; what a template puts after it is no part of a text to go on from."""
    found: list[int] = []
    for step in (processor or {}).get("processors", [processor]):
        if step is not None and step["type"] == _KIND:
            known = step["special_tokens"]
            before = itertools.takewhile(lambda part: "SpecialToken" in part, step["single"])
            ids = [known[part["SpecialToken"]["id"]]["ids"] for part in before]
            found = [*itertools.chain(*ids), *found]
    return tuple(found)


def putting(start: Sequence[int], names: Mapping[int, str]) -> dict[str, Any] | None:
    """Return a post-processor that puts these tokens before a text; None for none of them."""
    if not start:
        return None

    def before(place: str, kind: int) -> list[dict[str, Any]]:
        tokens = [{"SpecialToken": {"id": names[number], "type_id": kind}} for number in start]
        return [*tokens, {"Sequence": {"id": place, "type_id": kind}}]

    return {
        "type": _KIND,
        "single": before("A", 0),
        "pair": [*before("A", 0), *before("B", 1)],
        "special_tokens": {
            names[number]: {"id": names[number], "ids": [number], "tokens": [names[number]]}
            for number in start
        },
    }
