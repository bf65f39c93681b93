"""An allow-list of files, kept by the kernel for this process and all that it starts: Landlock.

Covers: opening, reading, writing, listing, executing, creating, renaming and removing files outside the list;
TCP to anywhere (ABI 4); ioctl on devices (5); abstract sockets and signals to processes outside (6); tracing
of processes outside. Does not cover: files already open; whether a file exists, its size and its dates;
changing mode, owner, dates and extended attributes of the user's own files; UDP and named sockets. seccomp.py
closes the last two. Nothing is executable anywhere, but a readable file can be mapped as a shared library.
Source: Documentation/userspace-api/landlock.rst and include/uapi/linux/landlock.h of the kernel.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from foundry.sandbox import system

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # on every architecture
_VERSION = 1  # flag: tell the ABI
_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << bit for bit in range(6))
_MAKE_DIR, _MAKE_REGULAR = 1 << 7, 1 << 8
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_FILES = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}  # handled since that ABI
_BOTH_TCP_RIGHTS = 0b11
_BOTH_SCOPES = 0b11  # abstract sockets, signals

_READ = _READ_FILE | _READ_DIR
# Neither links nor devices: what the driver finds in a folder of ours leads nowhere else.
_WRITE = _READ | _WRITE_FILE | _TRUNCATE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REGULAR
_OF_A_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV  # the rest is of folders

# Not /dev/zero: mapped as shared, it would be memory that no limit counts.
_ALWAYS = {Path("/dev/null"): _READ_FILE | _WRITE_FILE | _TRUNCATE, Path("/dev/urandom"): _READ_FILE}
# What torch's libraries choose their kernels by: without it the same training gives other numbers.
_MACHINE = ("/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu", "/sys/devices/system/node")
_ALWAYS |= dict.fromkeys(map(Path, _MACHINE), _READ)


def abi() -> int:
    """Return the version of Landlock that the kernel offers; 0 where there is none."""
    if not system.LINUX:
        return 0
    try:
        return system.call(_CREATE_RULESET, None, 0, _VERSION)
    except OSError:
        return 0


def restrict(
    readable: Iterable[Path],
    writable: Iterable[Path],
    *,
    listable: Iterable[Path] = (),
    devices: Iterable[Path] = (),
) -> None:
    """Allow this process, for good, what lies below these paths and nothing else.

    A further call takes away more and never gives back. Paths that do not exist are passed over. What is
    writable is readable too; of what is `listable` the names of files may be read, not the files; `devices`
    may be read, written and controlled. The caller has dropped its privileges.

    Raises:
        OSError: the kernel has no Landlock, or refuses.
    """
    version = abi()
    if version < 1:
        raise OSError(errno.EOPNOTSUPP, "Landlock is not available")
    handled = _FILES[max(since for since in _FILES if since <= version)]
    words = [handled, *([_BOTH_TCP_RIGHTS] * (version >= 4)), *([_BOTH_SCOPES] * (version >= 6))]
    attributes = struct.pack(f"={len(words)}Q", *words)
    rules = system.call(_CREATE_RULESET, _pointer(attributes), len(attributes), 0)
    try:
        rights = dict.fromkeys(readable, _READ)
        rights |= {path: rights.get(path, 0) | _READ_DIR for path in listable}
        rights |= dict.fromkeys(writable, _WRITE)
        rights |= dict.fromkeys(devices, _READ_FILE | _WRITE_FILE | _IOCTL_DEV)
        for path, right in (rights | _ALWAYS).items():
            _allow(rules, path, right & handled)
        system.call(_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def except_for(root: Path, hidden: Iterable[Path]) -> list[Path]:
    """List the fewest paths that make up all that is below `root` now, without what is hidden.

    What appears later in a folder that also holds something hidden is hidden too.
    """
    return list(_without(root.resolve(), {path.resolve() for path in hidden}))


def _without(root: Path, hidden: set[Path]) -> Iterator[Path]:
    if root in hidden:
        return
    if not any(root in path.parents for path in hidden):
        yield root
        return
    for entry in sorted(root.iterdir()):
        if not entry.is_symlink():  # what it leads to is listed where it lies
            yield from _without(entry, hidden)


def _allow(rules: int, path: Path, right: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            right &= _OF_A_FILE
        rule = struct.pack("=Qi", right, descriptor)
        system.call(_ADD_RULE, rules, _PATH_BENEATH, _pointer(rule), 0)
    finally:
        os.close(descriptor)


def _pointer(text: bytes) -> ctypes.c_void_p:
    return ctypes.cast(ctypes.c_char_p(text), ctypes.c_void_p)
