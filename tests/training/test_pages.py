"""Freed memory stays with the process that asked for that; counted in page faults, not in time."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

ROUNDS = """
import resource
from foundry.training import pages

def faults(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        held = [b"x" * (8 << 20) for _ in range(6)]
        del held
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults(2)
freely = faults(3)
pages.keep()
faults(2)
print(freely, faults(3))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_what_is_freed_is_not_faulted_in_anew() -> None:
    output = subprocess.run(
        [sys.executable, "-c", ROUNDS], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    freely, kept = map(int, output.split())
    assert kept < 100 < freely
