"""What a seed model shares with a reference module is the same text: operators recognise it by that."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

FOUNDRY = Path(__file__).parents[2] / "foundry"


def class_text(file: str, name: str) -> str | None:
    source = (FOUNDRY / file).read_text()
    node = next(n for n in ast.parse(source).body if isinstance(n, ast.ClassDef) and n.name == name)
    return ast.get_source_segment(source, node)


@pytest.mark.parametrize(
    ("module", "name"), [("modules/rmsnorm.py", "RMSNorm"), ("modules/rope.py", "RotaryEmbedding")]
)
def test_v2_holds_the_reference_module(module: str, name: str) -> None:
    assert class_text("models/v2.py", name) == class_text(module, name)
