"""Put the layers of a level into force, in a child that has not run a candidate's code yet."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from pathlib import Path

from foundry.sandbox import bubblewrap, landlock, privileges, rlimits, seccomp, system
from foundry.sandbox.rlimits import Amounts


def rehearse(level: str) -> None:
    """Prepare once, in the process that forks, what every confined child would otherwise work out again."""
    if level != "process":
        seccomp.refusals(system.machine())


def confine(
    level: str,
    *,
    readable: Iterable[Path],
    writable: Iterable[Path],
    listable: Iterable[Path] = (),
    devices: Iterable[Path] = (),
    amounts: Amounts,
    keep: Iterable[int] = (0, 1, 2),
) -> None:
    """Confine this process, for good, to what a level allows; see landlock.restrict for the paths.

    All descriptors but those to `keep` are closed. At level "process" the limits are all there is.

    Raises:
        OSError: a layer that the level promises cannot be had; the caller must not go on.
    """
    _close_all_but(keep)
    rlimits.limit(amounts)
    if level == "process":
        return
    if level == "bwrap" and not bubblewrap.around_us():
        raise OSError("this process does not run within bubblewrap")
    privileges.drop()
    landlock.restrict(readable, writable, listable=listable, devices=devices)
    seccomp.install()


def _close_all_but(keep: Iterable[int]) -> None:
    bounds = [-1, *sorted(set(keep)), os.sysconf("SC_OPEN_MAX")]
    for before, after in itertools.pairwise(bounds):
        if before + 1 < after:  # some Pythons take an empty range for all there is
            os.closerange(before + 1, after)
