"""Change single values of an experiment as text, so that comments and layout stay as they are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from foundry.data.texts import NAMES


def absolute(name: str) -> str:
    """A path that holds wherever a run is resumed from; names of what is shipped stay names."""
    return str(Path(name).resolve()) if name not in NAMES and Path(name).exists() else name


def with_value(text: str, keys: tuple[str, ...], value: str) -> str:
    """Set one text value of an experiment, leaving everything else as it is written."""
    *outer, key = keys
    # `null` and `yes` would be read as something else
    plain = re.fullmatch(r"[A-Za-z_][\w.-]*", value) and isinstance(yaml.safe_load(value), str)
    quoted = value if plain else json.dumps(value)
    changed, found = re.subn(rf"(?m)^(\s*){key}:[^\n]*$", rf"\g<1>{key}: {_literal(quoted)}", text, count=1)
    if not found:
        lines = [f"{'  ' * depth}{name}:" for depth, name in enumerate(outer)]
        changed = "\n".join([text.rstrip(), *lines, f"{'  ' * len(outer)}{key}: {quoted}", ""])
    return changed


def _literal(replacement: str) -> str:
    return replacement.replace("\\", "\\\\")


def with_mutation(text: str, mutation: str) -> str:
    """Add one to the list `mutations` of an experiment, after `base_model` where there is none yet."""
    item = f"  - {json.dumps(mutation, ensure_ascii=False)}\n"
    changed, found = re.subn(
        r"(?m)^mutations:\n(?:  - [^\n]*\n)+", lambda match: match[0] + item, text, count=1
    )
    if found:
        return changed
    block = f"mutations:\n{item}"
    changed, found = re.subn(r"(?m)^base_model:[^\n]*\n", lambda match: match[0] + block, text, count=1)
    return changed if found else f"{text.rstrip()}\n{block}"
