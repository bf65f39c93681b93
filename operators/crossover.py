"""Merge what two parents changed since their common ancestor into one child, by syntax tree and by key.

Not an operator: it takes three sources and no edit. It asks nothing of how the changes came about, so what a
person changed by hand is merged like what operators did.
"""

import libcst as cst

from operators.source import Source
from operators.syntax.conflict import ConflictError
from operators.syntax.dangling import dangling
from operators.syntax.merge import merged_module
from operators.syntax.merge_experiment import merged_experiment
from operators.syntax.tidy import tidied, used_names

__all__ = ["ConflictError", "crossed"]


def crossed(base: Source, ours: Source, theirs: Source) -> Source:
    """Return the child of two sources with a common ancestor: the changes of both, the layout of `ours`.

    What only one of them changed is as it has it, byte for byte. Where both insert something at one place,
    and either order would do, that of `ours` comes first.

    Raises:
        ConflictError: the changes contradict each other, or one removes what the other has come to need; the
            message says where. An exception and not None, so that a record can say why there is no child.
    """
    return Source(
        _model(base.model, ours.model, theirs.model),
        merged_experiment(base.experiment, ours.experiment, theirs.experiment),
    )


def _model(base: str, ours: str, theirs: str) -> str:
    if theirs in (base, ours):
        return ours
    if ours == base:
        return theirs
    modules = [_parsed(text) for text in (base, ours, theirs)]
    merged = merged_module(*modules)
    try:
        lost = dangling(merged.code) - dangling(ours) - dangling(theirs)
    except SyntaxError as error:
        raise ConflictError(f"the changes do not add up to valid Python: {error.msg}") from None
    if lost:
        raise ConflictError(f"one removes {', '.join(sorted(lost))}, which the other has come to need")
    used = used_names(modules[1]) & used_names(modules[2])
    defined = {item.name.value for item in merged.body if isinstance(item, (cst.ClassDef, cst.FunctionDef))}
    return tidied(merged, used, defined)


def _parsed(text: str) -> cst.Module:
    try:
        return cst.parse_module(text)
    except (cst.ParserSyntaxError, RecursionError, ValueError):
        raise ConflictError("a model is not valid Python") from None
