"""Merge two changed versions of an experiment by its keys, in the layout of one of them."""

from typing import Any

import yaml

from operators.syntax.conflict import ConflictError
from operators.syntax.experiment import read_experiment

Path = tuple[Any, ...]
_MISSING = object()
_NAME = ("name",)  # says what a candidate is called, not what it is


def merged_experiment(base: str, ours: str, theirs: str) -> str:
    """Return an experiment with the settings that either side changed, in the layout and comments of `ours`.

    Raises ConflictError where both changed one setting, to different values.
    """
    if theirs in (base, ours):
        return ours
    if ours == base:
        return theirs
    trees = [_loaded(text) for text in (base, ours, theirs)]
    before, mine, other = (_leaves(tree) for tree in trees)
    changes: dict[Path, Any] = {}
    for path in [*other, *(path for path in before if path not in other)]:
        new, here = other.get(path, _MISSING), mine.get(path, _MISSING)
        if path == _NAME or new in (before.get(path, _MISSING), here):
            continue
        if here != before.get(path, _MISSING) or _is_other_shape(path, mine):
            raise ConflictError(
                f"both change {'.'.join(map(str, path))} of the experiment, in different ways"
            )
        changes[path] = new
    wanted = _changed(trees[1], changes)
    text = _written(ours, theirs, changes)
    return text if _reads_as(text, wanted) else yaml.safe_dump(wanted, sort_keys=False)


def _loaded(text: str) -> dict[Any, Any]:
    try:
        tree = yaml.safe_load(text) or {}
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConflictError("an experiment is not valid YAML") from None
    if not isinstance(tree, dict):
        raise ConflictError("an experiment is not a mapping")
    return tree


def _leaves(tree: dict[Any, Any], above: Path = ()) -> dict[Path, Any]:
    """Return every setting by its path; lists and empty mappings count as one."""
    found: dict[Path, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            found |= _leaves(value, (*above, key))
        else:
            found[*above, key] = value
    return found


def _is_other_shape(path: Path, mine: dict[Path, Any]) -> bool:
    """Tell whether one side has a mapping where the other has a value."""
    return any(
        path != other and (path[: len(other)] == other or other[: len(path)] == path) for other in mine
    )


def _changed(tree: dict[Any, Any], changes: dict[Path, Any]) -> dict[Any, Any]:
    tree = {key: _changed(value, {}) if isinstance(value, dict) else value for key, value in tree.items()}
    for path, value in changes.items():
        holder = tree
        for key in path[:-1]:
            holder = holder.setdefault(key, {})
        if value is _MISSING:
            del holder[path[-1]]
        else:
            holder[path[-1]] = value
    return tree


def _reads_as(text: str, wanted: dict[Any, Any]) -> bool:
    try:
        return bool(yaml.safe_load(text) == wanted)
    except yaml.YAMLError:
        return False


def _written(ours: str, theirs: str, changes: dict[Path, Any]) -> str:
    """Carry changes out in the text of `ours`, as far as its layout is plain; the caller checks."""
    text, written = ours, read_experiment(theirs)
    for path, value in changes.items():
        name = ".".join(map(str, path))
        here, there = read_experiment(text), written.scalars.get(name)
        if value is _MISSING:
            text = _without(text, name)
        elif there is not None and name in here.scalars:
            text = here.with_values({name: theirs[there.start : there.end]})
        elif there is not None:
            text = _with(text, theirs, name, theirs[there.start : there.end])
    return text


def _without(text: str, name: str) -> str:
    """Take a setting away that has a line to itself."""
    scalar = read_experiment(text).scalars.get(name)
    if scalar is None:
        return text
    start, end = text.rfind("\n", 0, scalar.start) + 1, text.find("\n", scalar.end)
    return text[:start] + (text[end + 1 :] if end >= 0 else "")


def _with(text: str, theirs: str, name: str, value: str) -> str:
    """Add a setting below its neighbour on the other side, which gives it a line to itself."""
    holder, _, key = name.rpartition(".")
    siblings = [other for other in read_experiment(theirs).scalars if other.rpartition(".")[0] == holder]
    here = read_experiment(text).scalars
    above = [other for other in siblings[: siblings.index(name)] if other in here]
    near = above[-1] if above else next((other for other in siblings if other in here), None)
    if near is None:
        return text
    start, end = text.rfind("\n", 0, here[near].start) + 1, text.find("\n", here[near].end)
    line = text[start:] if end < 0 else text[start : end + 1]
    indent = line[: len(line) - len(line.lstrip(" "))]
    ending = "\r\n" if line.endswith("\r\n") else "\n"
    added = f"{indent}{key}: {value}{ending}"
    if not above:
        return text[:start] + added + text[start:]
    return text[:start] + (line if line.endswith("\n") else line + ending) + added + text[start + len(line) :]
