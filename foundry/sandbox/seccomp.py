"""Take away the system calls that no model needs: a seccomp filter, assembled here.

Covers: the network, new processes and programs, signals to and control of other processes, mounts and
namespaces, memory that RLIMIT_DATA does not count, changes of a file's mode, owner, dates and attributes,
tracing, and the parts of the kernel that had most holes (io_uring, bpf, userfaultfd, keys …). A refused call
fails with EPERM, one that is newer than our table with ENOSYS; calls of a foreign architecture kill. Threads
remain possible. Does not cover: what a filter cannot see behind a pointer, paths above all (see landlock.py),
and holes in the calls that remain (open, mmap, futex, …). This is a list of what is refused, not of what is
allowed, because torch's needs differ between versions and devices.
Sources: seccomp(2), Documentation/userspace-api/seccomp_filter.rst, include/uapi/linux/filter.h.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import struct
from collections.abc import Iterable

from foundry.sandbox import system
from foundry.sandbox.syscalls import NEWEST, number, numbers

_REFUSED = """
socket socketpair connect bind listen accept accept4 sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg
shutdown getsockname getpeername getsockopt setsockopt

fork vfork execve execveat

ptrace process_vm_readv process_vm_writev process_madvise process_mrelease pidfd_open pidfd_getfd
pidfd_send_signal kcmp tkill rt_sigqueueinfo rt_tgsigqueueinfo get_robust_list move_pages migrate_pages
setpriority ioprio_set sched_setaffinity sched_setattr sched_setparam sched_setscheduler

mount umount2 mount_setattr move_mount open_tree fsopen fsconfig fsmount fspick pivot_root chroot unshare
setns

memfd_create memfd_secret shmget shmat shmctl shmdt msgget msgsnd msgrcv msgctl semget semop semctl
semtimedop mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr

chmod fchmod fchmodat chown fchown lchown fchownat utime utimes futimesat utimensat setxattr lsetxattr
fsetxattr removexattr lremovexattr fremovexattr truncate mknod mknodat symlink symlinkat
name_to_handle_at open_by_handle_at inotify_init inotify_init1 inotify_add_watch fanotify_init
fanotify_mark quotactl quotactl_fd acct

bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register io_setup io_submit
io_getevents io_pgetevents io_cancel io_destroy splice tee vmsplice seccomp personality modify_ldt iopl
ioperm keyctl add_key request_key capset

init_module finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff syslog vhangup
sethostname setdomainname settimeofday clock_settime clock_adjtime adjtimex uselib _sysctl sysfs ustat
lookup_dcookie nfsservctl create_module get_kernel_syms query_module
"""

_SHARED, _ANONYMOUS, _GROWS_DOWN = 0x01, 0x20, 0x100
_CLONE_THREAD = 0x00010000
# names of threads and of memory, capabilities read, no_new_privs set and read
_PRCTL = (2, 3, 15, 16, 23, 29, 30, 38, 39, 0x53564D41)
# keystrokes for a terminal, the receiver of SIGIO (twice), attributes of files (twice)
_IOCTL = (0x5412, 0x541C, 0x8901, 0x8902, 0x40086602, 0x401C5820)
# F_SETOWN, F_SETSIG and F_SETOWN_EX signal others; F_SETLEASE and F_NOTIFY watch them; pipes are memory too
_FCNTL = (8, 10, 15, 1024, 1026, 1031)

_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32 = 0x40000000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS

_SET_MODE_FILTER = 1
# Without it some kernels slow a process down lest it speculate about its own memory, which holds no secret.
_SPEC_ALLOW = 4

_Code = list[tuple[int, int, int, int]]  # struct sock_filter: code, jump if true, jump if false, operand


def install() -> None:
    """Put the filter into force, for good; no_new_privs must be set.

    Raises:
        OSError: the kernel refuses, or the architecture is not known here.
    """
    code = program(system.machine(), os.getpid())
    buffer = ctypes.create_string_buffer(code, len(code))
    filters = struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer))
    address = ctypes.cast(ctypes.c_char_p(filters), ctypes.c_void_p)
    system.call(number("seccomp"), _SET_MODE_FILTER, _SPEC_ALLOW, address)


def program(architecture: str, pid: int) -> bytes:
    """Assemble the filter for a process that may signal none but itself.

    Raises:
        OSError: the architecture is not known here.
    """
    known = numbers(architecture)
    by_argument: _Code = []
    for name, block in _by_argument(pid).items():
        by_argument += [(_EQUAL, 0, len(block), known[name]), *block]
    return refusals(architecture) + _assembled([*by_argument, _answer(_ALLOW)])


@functools.cache
def refusals(architecture: str) -> bytes:
    """Assemble the part that is the same for every process, once.

    Raises:
        OSError: the architecture is not known here.
    """
    known = numbers(architecture)
    code: _Code = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, _AUDIT[architecture]), _answer(_KILL)]
    code += [(_LOAD, 0, 0, _NUMBER)]
    code += [(_AT_LEAST, 0, 1, _X32), _answer(_KILL), (_AT_LEAST, 0, 1, NEWEST + 1), _answer(_ENOSYS)]
    for refused in sorted(known[name] for name in _REFUSED.split() if name in known):
        code += [(_EQUAL, 0, 1, refused), _answer(_EPERM)]
    return _assembled(code)


def _assembled(code: _Code) -> bytes:
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _by_argument(pid: int) -> dict[str, _Code]:
    """Give for each call that depends on an argument the code that decides it."""
    own = pid & 0xFFFFFFFF
    return {
        "clone": [
            _argument(0),
            (_ANY_BIT, 1, 0, _CLONE_THREAD),
            _answer(_EPERM),
            _answer(_ALLOW),
        ],
        "clone3": [_answer(_ENOSYS)],  # its flags lie behind a pointer; C libraries fall back to clone
        "mmap": [
            _argument(3),
            (_ANY_BIT, 3, 0, _GROWS_DOWN),
            (_AND, 0, 0, _SHARED | _ANONYMOUS),
            (_EQUAL, 1, 0, _SHARED | _ANONYMOUS),
            _answer(_ALLOW),
            _answer(_EPERM),
        ],
        "kill": _if_among(0, (own,), _ALLOW, _EPERM),
        "tgkill": _if_among(0, (own,), _ALLOW, _EPERM),
        "prlimit64": _if_among(0, (0, own), _ALLOW, _EPERM),
        "prctl": _if_among(0, _PRCTL, _ALLOW, _EPERM),
        "ioctl": _if_among(1, _IOCTL, _EPERM, _ALLOW),
        "fcntl": _if_among(1, _FCNTL, _EPERM, _ALLOW),
    }


def _if_among(position: int, values: Iterable[int], then: int, otherwise: int) -> _Code:
    code = [_argument(position)]
    for value in values:
        code += [(_EQUAL, 0, 1, value), _answer(then)]
    return [*code, _answer(otherwise)]


def _argument(position: int) -> tuple[int, int, int, int]:
    """Load the lower half of an argument; the kernel reads no more of those that are looked at here."""
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * position)


def _answer(action: int) -> tuple[int, int, int, int]:
    return (_RETURN, 0, 0, action)
