"""A small run that nothing interrupts, to compare with."""

from __future__ import annotations

from pathlib import Path

import pytest
from recovery_helpers import LONGER, QUICK, ROOT, evolve

from foundry.data.dataset import read_text


@pytest.fixture(scope="session")
def micro(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("micro")
    text = folder / "text.txt"
    text.write_text(read_text("shakespeare_char")[:20_000])
    path = folder / "micro.yaml"
    path.write_text((ROOT / "experiments" / "micro.yaml").read_text().replace("shakespeare_char", str(text)))
    return path


@pytest.fixture(scope="session")
def finished(micro: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The arena of a run that nothing interrupted."""
    arena = tmp_path_factory.mktemp("finished") / "arena"
    evolve(*QUICK, "--experiment", micro, "--arena", arena, "--workers", 2)
    return arena


@pytest.fixture(scope="session")
def longer(micro: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The arena of another, which opens its test split."""
    arena = tmp_path_factory.mktemp("longer") / "arena"
    evolve(*LONGER, "--experiment", micro, "--arena", arena, "--workers", 2)
    return arena
