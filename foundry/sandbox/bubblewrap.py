"""The command line that runs the server of trials within bubblewrap, bwrap(1).

Covers: user, PID, network, IPC, UTS and cgroup namespaces of its own; a file system that is read-only but for
the paths named, a bare /dev and a /proc that shows no process outside; death with the thread that started it.
Does not cover: reading what is not hidden (landlock.py does), and sockets that have a path (seccomp.py does).
Inherited descriptors pass. PID namespaces can be made within, see family.py.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from foundry.sandbox import system

_OPTIONS = """\
    --unshare-user --unshare-pid --unshare-net --unshare-ipc --unshare-uts --unshare-cgroup-try
    --die-with-parent --new-session --cap-drop ALL --cap-add CAP_SYS_ADMIN
    --ro-bind / / --dev /dev --proc /proc
"""
_PROJECT = Path(__file__).resolve().parents[2]


def around(
    command: Sequence[str],
    *,
    writable: Sequence[Path] = (),
    hidden: Sequence[Path] = (),
    readable: Sequence[Path] = (),
    devices: Sequence[Path] = (),
) -> list[str]:
    """Return the command line that runs `command` within bubblewrap.

    Where paths lie within one another the deeper one counts: what is writable below something hidden stays
    writable. Python and this package stay readable below what is hidden; `readable` names further paths to
    keep. Paths that do not exist are passed over. /tmp is as read-only as the rest: the data may lie there;
    TMPDIR belongs among the writable.
    """
    masks = dict.fromkeys(map(Path.resolve, hidden), "hidden")
    needed = (path.resolve() for path in [*_python(), *readable])
    what = {path: "readable" for path in needed if not masks.keys().isdisjoint(path.parents)}
    what |= masks | dict.fromkeys(map(Path.resolve, writable), "writable")
    ordered = sorted((path, kind) for path, kind in what.items() if path.exists())
    options = [word for path, kind in ordered for word in _mount(path, kind)]
    options += [word for path in devices for word in ("--dev-bind-try", str(path), str(path))]
    folders = [path for path, kind in ordered if kind == "hidden" and path.is_dir()]
    options += [word for path in reversed(folders) for word in ("--remount-ro", str(path))]
    return ["bwrap", *_OPTIONS.split(), *options, "--", *command]


def around_us() -> bool:
    """Say whether this process runs within what `around` made."""
    if not system.LINUX or not os.statvfs("/").f_flag & os.ST_RDONLY:
        return False
    return Path("/proc/1/comm").read_text() == "bwrap\n"


def _mount(path: Path, kind: str) -> list[str]:
    name = str(path)
    if kind == "hidden":
        return ["--tmpfs", name] if path.is_dir() else ["--ro-bind", os.devnull, name]
    return ["--bind" if kind == "writable" else "--ro-bind", name, name]


def _python() -> list[Path]:
    folders = (sys.prefix, sys.base_prefix, *filter(None, sys.path))
    return [_PROJECT, *map(Path, folders)]
