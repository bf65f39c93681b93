"""The filter: read by an interpreter of its own for both architectures, and felt in real processes."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import re
import resource
import signal
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_helpers import DONE, attempt, needs_landlock

from foundry.sandbox import privileges, seccomp, syscalls, system

ALLOW, KILL = 0x7FFF0000, 0x80000000
EPERM, ENOSYS = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
PID = 4321

architectures = pytest.mark.parametrize("architecture", syscalls.ARCHITECTURES)


def verdict(architecture: str, number: int, *arguments: int, audit: int | None = None) -> int:
    """Run the filter on one call, as the kernel's interpreter of classic BPF does."""
    words = [word & (1 << 64) - 1 for word in (*arguments, 0, 0, 0, 0, 0, 0)[:6]]
    audit = AUDIT[architecture] if audit is None else audit
    data = struct.pack("=IIQ6Q", number & (1 << 32) - 1, audit, 0, *words)
    code = list(struct.iter_unpack("=HBBI", seccomp.program(architecture, PID)))
    accumulator = position = 0
    while True:
        operation, yes, no, operand = code[position]
        position += 1
        if operation == 0x06:
            return int(operand)
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, operand)
        elif operation == 0x54:
            accumulator &= operand
        else:
            holds = {0x15: accumulator == operand, 0x35: accumulator >= operand, 0x45: accumulator & operand}
            position += yes if holds[operation] else no


def called(architecture: str, name: str, *arguments: int) -> int:
    return verdict(architecture, syscalls.numbers(architecture)[name], *arguments)


@architectures
def test_what_a_training_needs_is_allowed(architecture: str) -> None:
    names = {"x86_64": {"read": 0, "futex": 202, "openat": 257}, "aarch64": {"read": 63, "futex": 98}}
    for number in names[architecture].values():
        assert verdict(architecture, number) == ALLOW
    assert called(architecture, "landlock_restrict_self") == ALLOW


@architectures
@pytest.mark.parametrize("name", ["socket", "execve", "ptrace", "unshare", "bpf", "io_uring_setup", "mount"])
def test_what_no_model_needs_is_refused(architecture: str, name: str) -> None:
    assert called(architecture, name) == EPERM


@architectures
def test_what_depends_on_an_argument(architecture: str) -> None:
    thread, private, shared, anonymous = 0x3D0F00, 0x02, 0x01, 0x20
    assert called(architecture, "clone", thread) == ALLOW
    assert called(architecture, "clone", signal.SIGCHLD) == EPERM
    assert called(architecture, "clone3") == ENOSYS
    assert called(architecture, "mmap", 0, 1, 3, private | anonymous) == ALLOW
    assert called(architecture, "mmap", 0, 1, 1, shared, 5) == ALLOW
    assert called(architecture, "mmap", 0, 1, 3, shared | anonymous) == EPERM
    assert called(architecture, "mmap", 0, 1, 3, private | anonymous | 0x100) == EPERM
    assert called(architecture, "kill", PID, signal.SIGTERM) == ALLOW
    assert called(architecture, "prlimit64", 0, resource.RLIMIT_NOFILE) == ALLOW
    assert called(architecture, "fcntl", 3, fcntl.F_SETFD) == ALLOW
    assert called(architecture, "fcntl", 3, fcntl.F_SETOWN) == EPERM
    assert called(architecture, "ioctl", 3, 0x5412) == EPERM
    assert called(architecture, "prctl", system.PR_SET_PDEATHSIG) == EPERM


@architectures
@given(other=st.integers(-1, 1 << 22).filter(lambda pid: pid != PID))
def test_nobody_else_is_signalled(architecture: str, other: int) -> None:
    assert called(architecture, "kill", other, signal.SIGKILL) == EPERM
    assert called(architecture, "tgkill", other, other, signal.SIGKILL) == EPERM


@architectures
@given(number=st.integers(syscalls.NEWEST + 1, (1 << 32) - 1))
def test_unknown_calls_do_not_exist(architecture: str, number: int) -> None:
    assert verdict(architecture, number) == (KILL if number >= 0x40000000 else ENOSYS)


@architectures
@given(audit=st.integers(0, (1 << 32) - 1), number=st.integers(0, 600))
def test_foreign_architectures_are_killed(architecture: str, audit: int, number: int) -> None:
    foreign = audit != AUDIT[architecture]
    assert (verdict(architecture, number, audit=audit) == KILL) == foreign


def test_the_numbers_are_those_of_the_system() -> None:
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if not header.exists():
        pytest.skip("no kernel headers")
    there = dict(re.findall(r"#define __NR_(\w+)\s+(\d+)", header.read_text()))
    ours = syscalls.numbers("x86_64")
    assert {name: int(there[name]) for name in ours} == ours


def test_every_name_is_known() -> None:
    names = set(seccomp._REFUSED.split())
    assert names <= set().union(*map(syscalls.numbers, syscalls.ARCHITECTURES))


def filtered() -> None:
    privileges.drop()
    seccomp.install()


def fork() -> None:
    if (pid := os.fork()) == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def connect(kind: int) -> Callable[[], None]:
    def send() -> None:
        with socket.create_server(("127.0.0.1", 0)) as there, socket.socket(type=kind) as here:
            here.connect(there.getsockname())

    return send


def own_signal() -> None:
    os.kill(os.getpid(), 0)
    signal.raise_signal(signal.SIGWINCH)


def threads() -> None:
    ran: list[int] = []
    several = [threading.Thread(target=ran.append, args=(index,)) for index in range(3)]
    for one in several:
        one.start()
    for one in several:
        one.join()
    assert sorted(ran) == [0, 1, 2]


REFUSED: dict[str, Callable[[], object]] = {
    "fork": fork,
    "start a program": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "become a program": lambda: os.execv("/bin/true", ["true"]),
    "connect": connect(socket.SOCK_STREAM),
    "send a datagram": lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
    "a pair of sockets": socket.socketpair,
    "signal the parent": lambda: os.kill(os.getppid(), 0),
    "signal the group": lambda: os.killpg(0, 0),
    "watch the parent": lambda: os.pidfd_open(os.getppid()),
    "limit the parent": lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CORE),
    "slow others down": lambda: os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0)),
    "move others": lambda: os.sched_setaffinity(0, os.sched_getaffinity(0)),
    "uncounted memory": lambda: mmap.mmap(-1, 4096),
    "a file in memory": lambda: os.memfd_create("x"),
    "signals about files": lambda: fcntl.fcntl(0, fcntl.F_SETOWN, 0),
    "outlive the parent": lambda: system.prctl(system.PR_SET_PDEATHSIG, 0),
}


@needs_landlock
@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_act_fails_and_works_without(name: str) -> None:
    def act() -> object:
        return REFUSED[name]()

    assert attempt(act) in (DONE, "0")
    assert attempt(act, after=filtered) == "PermissionError"


@needs_landlock
@pytest.mark.parametrize("act", [threads, own_signal, os.pipe, lambda: bytearray(1 << 24), os.urandom])
def test_an_innocent_act_works(act: Callable[..., object]) -> None:
    given_one = act is os.urandom
    assert attempt(lambda: act(8) if given_one else act(), after=filtered) == DONE


@needs_landlock
def test_mode_and_dates_of_a_file_stay(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch(0o644)
    for act in (lambda: file.chmod(0o600), lambda: os.utime(file, ns=(1, 1))):
        before = file.stat()
        assert attempt(act, after=filtered) == "PermissionError"
        assert file.stat() == before
        assert attempt(act) == DONE
        assert file.stat() != before


@needs_landlock
def test_nothing_is_privileged_any_more() -> None:
    def status() -> dict[str, str]:
        return dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())

    def check() -> None:
        said = status()
        assert {int(said[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
        assert int(said["CapBnd"], 16) == 0 or os.geteuid() != 0
        assert int(said["NoNewPrivs"]) == 1

    assert attempt(check) == "AssertionError"
    assert attempt(check, after=privileges.drop) == DONE
