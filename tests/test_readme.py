"""What the README shows of the source is the source."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PYTHON_BLOCKS = re.findall(r"```python\n(.*?)\n```", README, flags=re.DOTALL)


@pytest.mark.parametrize("source", ["evolve.py", "operators/depth.py"])
def test_code_shown_is_the_code(source: str) -> None:
    text = (ROOT / source).read_text()
    assert sum(block in text for block in PYTHON_BLOCKS) == 1


def test_files_named_exist() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert all((ROOT / link).exists() for link in links)


def test_nothing_is_left_to_fill_in() -> None:
    assert not re.search(r"^[A-Z_]{5,}$", README, flags=re.MULTILINE)
