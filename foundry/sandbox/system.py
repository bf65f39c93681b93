"""System calls that Python does not offer, by ctypes. Importable everywhere; usable on Linux.

Sources: the manual pages named beside each constant (prctl(2), unshare(2), setns(2), syscall(2)).
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys

LINUX = sys.platform == "linux"

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47

CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000

_libc = ctypes.CDLL(None, use_errno=True)


def machine() -> str:
    """Name the architecture whose system-call numbers count: `x86_64`, `aarch64` or another."""
    name = platform.machine()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(name.lower(), name)


def prctl(option: int, *arguments: int) -> int:
    """Call prctl(2) with up to four arguments.

    Raises:
        OSError: the kernel refuses.
    """
    words = [ctypes.c_ulong(word) for word in (*arguments, 0, 0, 0, 0)[:4]]
    return _checked(_libc.prctl(ctypes.c_int(option), *words), "prctl")


def unshare(flags: int) -> None:
    """Leave namespaces for new ones, unshare(2).

    Raises:
        OSError: the kernel refuses.
    """
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare")


def setns(descriptor: int, kind: int) -> None:
    """Enter the namespace that a descriptor stands for, setns(2).

    Raises:
        OSError: the kernel refuses.
    """
    _checked(_libc.setns(ctypes.c_int(descriptor), ctypes.c_int(kind)), "setns")


def call(number: int, *arguments: int | ctypes.c_void_p | None) -> int:
    """Make a system call by its number, syscall(2); integers go as whole registers, None as a null pointer.

    Raises:
        OSError: the kernel refuses.
    """
    words = [
        ctypes.c_long(word) if isinstance(word, int) else (word or ctypes.c_void_p(None))
        for word in arguments
    ]
    _libc.syscall.restype = ctypes.c_long
    return _checked(_libc.syscall(ctypes.c_long(number), *words), f"system call {number}")


def _checked(result: int, name: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return int(result)
