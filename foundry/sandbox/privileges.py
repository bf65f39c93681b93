"""Give up every privilege for good: capabilities, set-user-ID programs, being traced.

Covers: all capability sets including the bounding and ambient ones, privileges gained by execve, core dumps
and tracing by processes of the same user. Does not change the user: what the user owns is reached as before.
Sources: capabilities(7), PR_SET_NO_NEW_PRIVS(2const), PR_SET_DUMPABLE(2const).
"""

from __future__ import annotations

import ctypes
import errno

from foundry.sandbox import system
from foundry.sandbox.syscalls import number

_VERSION_3 = 0x20080522
_AMBIENT_CLEAR_ALL = 4


def drop() -> None:
    """Drop every capability and the ways to gain one.

    Raises:
        OSError: the kernel refuses.
    """
    system.prctl(system.PR_SET_NO_NEW_PRIVS, 1)
    system.prctl(system.PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)
    _empty_the_bounding_set()
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable, of two words each
    system.call(number("capset"), _pointer(header), _pointer(nothing))
    system.prctl(system.PR_SET_DUMPABLE, 0)


def _empty_the_bounding_set() -> None:
    for capability in range(64):
        try:
            if system.prctl(system.PR_CAPBSET_READ, capability):
                system.prctl(system.PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno == errno.EINVAL:  # past the last one that this kernel knows
                return
            if error.errno == errno.EPERM:  # not ours to drop, and with no_new_privs never ours to gain
                return
            raise


def _pointer(array: ctypes.Array[ctypes.c_uint32]) -> ctypes.c_void_p:
    return ctypes.cast(array, ctypes.c_void_p)
