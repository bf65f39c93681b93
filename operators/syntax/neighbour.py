"""Write a key that an experiment lacks beside one that it has, in the layout found there."""

from operators.syntax.experiment import Experiment


def set_beside(experiment: Experiment, path: str, key: str, value: str, changed: str | None = None) -> str:
    """Return the text with `key: value` on the line below the scalar at `path`, or beside it in braces.

    `changed` is what the scalar at `path` becomes at the same time. YAML's two layouts, line ends and a text
    that ends without one are kept; a comment behind the scalar stays where it is.
    """
    scalar = experiment.scalars[path]
    kept = experiment.text[scalar.start : scalar.end] if changed is None else changed
    text = experiment.text[: scalar.start] + kept + experiment.text[scalar.end :]
    behind = scalar.start + len(kept)
    start, end = text.rfind("\n", 0, scalar.start) + 1, text.find("\n", scalar.start)
    line = text[start:] if end < 0 else text[start : end + 1]
    name = line.lstrip()
    in_braces = text[behind:].lstrip().startswith((",", "}"))
    if in_braces or not name.lstrip("'\"").startswith(path.rpartition(".")[2]):
        return f"{text[:behind]}, {key}: {value}{text[behind:]}"
    ending = "\r\n" if line.endswith("\r\n") else "\n"
    whole = line if line.endswith("\n") else line + ending
    added = f"{line[: len(line) - len(name)]}{key}: {value}{ending}"
    return text[:start] + whole + added + text[start + len(line) :]


def child_of(experiment: Experiment, section: str, first: str) -> str | None:
    """Return the path of a scalar directly below a section, that called `first` rather than any other."""
    below = [path for path in experiment.scalars if path.rpartition(".")[0] == section]
    return f"{section}.{first}" if f"{section}.{first}" in below else next(iter(below), None)


def written(experiment: Experiment, path: str, value: str, first: str) -> str:
    """Return the text with a value at `path`, beside a sibling (`first`, if it is there) where it is missing.

    The section has at least one scalar.
    """
    if path in experiment.scalars:
        return experiment.with_values({path: value})
    section, _, key = path.rpartition(".")
    beside = child_of(experiment, section, first)
    assert beside is not None
    return set_beside(experiment, beside, key, value)
