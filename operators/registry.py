"""Find the operators: every module at the top level of this package that defines OPERATOR."""

import difflib
import importlib
import pkgutil
from functools import lru_cache
from pathlib import Path

from operators.operator import Operator
from operators.source import Edit, Source


@lru_cache(maxsize=1)
def _operators() -> dict[str, Operator]:
    found = {}
    for module in sorted(pkgutil.iter_modules([str(Path(__file__).parent)]), key=lambda module: module.name):
        if not module.ispkg:
            operator = getattr(importlib.import_module(f"operators.{module.name}"), "OPERATOR", None)
            if operator is not None:
                found[operator.name] = operator
    return dict(sorted(found.items()))


def load() -> dict[str, Operator]:
    """Return all operators by name, sorted by name."""
    return dict(_operators())


def lookup(name: str) -> Operator:
    """Return the operator of this name. Raises ValueError that names the nearest known one."""
    known = _operators()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    raise ValueError(f"unknown operator {name!r}; did you mean {near[0]!r}?")


def proposals(source: Source) -> list[Edit]:
    """List every edit that any operator offers for this source, by operator name, then in its own order."""
    return [edit for operator in _operators().values() for edit in operator.sites(source)]


def apply(source: Source, edit: Edit) -> Source:
    """Return the edited source. Raises ValueError for an unknown operator or an edit not offered here."""
    return lookup(edit.operator).apply(source, edit)


def words(edit: Edit) -> str:
    """Say the edit in fewer than 60 characters. Raises ValueError for an unknown operator."""
    return lookup(edit.operator).words(edit)
