"""Write the operator reference page from the operators' own examples.

`python -m operators.reference` writes docs/operators.md; with `--check` it only compares.
"""

import argparse
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path

from operators.operator import Example, Operator
from operators.registry import load

_PAGE = Path(__file__).parent.parent / "docs" / "operators.md"
_FAMILIES = {
    "knowledge": "What the literature knows",
    "generic": "Open-ended changes",
    "experiment": "Changes of the experiment",
}
_HEAD = """\
# Operators

Each rewrites a candidate's `model.py` or `experiment.yaml`; everything it does not touch keeps its bytes.
Generated from the operators' examples, which the test suite runs: `python -m operators.reference`.
"""


def page() -> str:
    """Return the reference page as Markdown."""
    operators = list(load().values())
    parts = [_HEAD, _table(operators)]
    for family, title in _FAMILIES.items():
        parts.append(f"## {title}\n")
        parts += [_section(operator) for operator in operators if operator.family == family]
    return "\n".join(parts)


def _table(operators: Sequence[Operator]) -> str:
    rows = [
        f"| [`{operator.name}`](#{operator.name}) | {operator.family} | {operator.summary} |"
        for operator in operators
    ]
    return "\n".join(["| operator | family | what it does |", "|---|---|---|", *rows]) + "\n"


def _section(operator: Operator) -> str:
    kept = ", ".join(sorted(operator.preserves)).replace("_", " ")
    also = "".join(f" `{name}` also preserves function at init." for name in sorted(operator.preserving))
    parts = [f"### {operator.name}\n", f"{operator.summary} Preserves: {kept}.{also}\n"]
    parts += [_example(operator, example) for example in operator.examples]
    return "\n".join(parts)


def _example(operator: Operator, example: Example) -> str:
    if example.after is None:
        language = "yaml" if operator.family == "experiment" else "python"
        return f"Left alone:\n\n```{language}\n{example.before.rstrip()}\n```\n"
    lines = difflib.unified_diff(example.before.splitlines(), example.after.splitlines(), lineterm="", n=100)
    return f"`{example.variant}`:\n\n```diff\n" + "\n".join(list(lines)[3:]) + "\n```\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or with `--check` return 1 if the committed one is out of date."""
    parser = argparse.ArgumentParser(prog="python -m operators.reference", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the page is out of date")
    if parser.parse_args(arguments).check:
        if _PAGE.is_file() and _PAGE.read_text(encoding="utf-8") == page():
            return 0
        print("docs/operators.md is out of date: run python -m operators.reference", file=sys.stderr)
        return 1
    _PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
