"""Children that die whole: what a trial leaves behind ends with it, even if it called setsid.

With PID namespaces the kernel sees to it: each child is the first process of its own, and the server that
forks them the first of one around those, so that nothing outlives either. Without them (some containers
forbid them) the server is the reaper of its orphans and finds descendants in /proc, which a fork bomb may
outrun; and what called setsid outlives a server that was killed. On macOS a process group is all there is.
Not covered: limits of any kind, and whom a child may signal without namespaces (seccomp.py).
Sources: pid_namespaces(7), user_namespaces(7), PR_SET_PDEATHSIG(2const), PR_SET_CHILD_SUBREAPER(2const).

Within its namespace a child's own number is 1, and the numbers that the server sees mean nothing outside.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from pathlib import Path
from typing import NoReturn

from foundry.sandbox import descendants, system
from foundry.sandbox.attempt import complaint_about

_own_namespace: int | None = None  # a descriptor, where this process makes PID namespaces
_children: set[int] = set()  # made by `fork_apart` and not reaped yet
_others: set[int] | None = None  # children that were there before those


def prepare() -> bool:
    """Ready this process for `fork_apart`; say whether each child will have a PID namespace.

    To be called once, before any thread is started. Where there are namespaces the caller goes on as a new
    process, the first of its own; the old one waits for it, ends as it ends, and takes it along when killed.
    """
    global _own_namespace
    if not system.LINUX:
        return False
    if not namespaces_work():
        system.prctl(system.PR_SET_CHILD_SUBREAPER, 1)
        return False
    _go_on_as_the_first()
    _own_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    return True


def namespaces_work() -> bool:
    """Say whether `prepare` could make PID namespaces here, by making some in a child."""
    if not system.LINUX:
        return False
    return complaint_about(_make_a_namespace_within_one) is None


def fork_apart() -> int:
    """Fork like os.fork; the child leads a process group of its own and dies when this process does.

    Children that are made in another way, and are to be left in peace, must be there before the first call.

    Raises:
        OSError: there is no room for one more process or namespace.
    """
    _note_others()
    parent = _number_in_proc() if _own_namespace is not None else os.getpid()
    if _own_namespace is not None:
        system.unshare(system.CLONE_NEWPID)
    pid = -1
    try:
        pid = os.fork()
    finally:
        if pid != 0 and _own_namespace is not None:
            system.setns(_own_namespace, system.CLONE_NEWPID)
    if pid == 0:
        _begin(parent)
        return 0
    with contextlib.suppress(OSError):  # the child does so too: whoever comes first
        os.setpgid(pid, pid)
    _children.add(pid)
    return pid


def end(pid: int) -> None:
    """Kill a child of `fork_apart` and all that it started; harmless where it is gone, or reaped already."""
    if not system.LINUX:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        return
    if _is_ours(pid):
        os.kill(pid, signal.SIGKILL)
    if _own_namespace is None:
        descendants.kill(pid, spared=_children | (_others or set()))


def reap(pid: int) -> tuple[int, resource.struct_rusage] | None:
    """Return wait status and usage of a child that has ended, after ending what it left; else None."""
    ended, status, usage = os.wait4(pid, os.WNOHANG)
    if not ended:
        return None
    _children.discard(pid)
    end(pid)
    return status, usage


def wait(pid: int) -> None:
    """Wait for the end of a child that has been killed by `end`."""
    os.waitpid(pid, 0)
    _children.discard(pid)


def _note_others() -> None:
    global _others
    if _others is None and _own_namespace is None and system.LINUX:
        _others = descendants.children()


def _begin(parent: int) -> None:
    """Become the leader of a group that dies with its parent; `parent` is the number that we see it under."""
    global _own_namespace
    namespace, _own_namespace = _own_namespace, None
    _children.clear()
    os.setpgid(0, 0)
    if namespace is not None:
        os.close(namespace)
    _die_with(parent, in_proc=namespace is not None)


def _die_with(parent: int, *, in_proc: bool) -> None:
    if not system.LINUX:
        return
    system.prctl(system.PR_SET_PDEATHSIG, signal.SIGKILL)
    # A parent outside of our namespace has no number in it: getppid would say 0, whoever it is.
    if (_parent_in_proc() if in_proc else os.getppid()) != parent:
        os._exit(1)  # it died before it was watched


def _go_on_as_the_first() -> None:
    parent = _number_in_proc()
    _leave_for_a_new_namespace()
    pid = os.fork()
    if pid:
        _keep(pid)
    _die_with(parent, in_proc=True)


def _keep(pid: int) -> NoReturn:
    """Wait for the one process of ours and end as it ends."""
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # the other end of a connection sees when that process goes
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code < 0:
        with contextlib.suppress(OSError):  # SIGKILL has no other way
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code & 0xFF)


def _leave_for_a_new_namespace() -> None:
    """Let the next child be the first process of a PID namespace, in a user namespace if that is needed."""
    user, group = os.geteuid(), os.getegid()
    try:
        system.unshare(system.CLONE_NEWPID)
    except PermissionError:
        system.unshare(system.CLONE_NEWUSER | system.CLONE_NEWPID)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def _make_a_namespace_within_one() -> None:
    _leave_for_a_new_namespace()
    if complaint := complaint_about(_make_a_namespace_and_return):
        raise OSError(complaint)


def _make_a_namespace_and_return() -> None:
    system.unshare(system.CLONE_NEWPID)
    with open("/proc/self/ns/pid") as own:
        system.setns(own.fileno(), system.CLONE_NEWPID)


def _is_ours(pid: int) -> bool:
    """Say whether a number still stands for a child of ours, running or not reaped."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _number_in_proc() -> int:
    return int(os.readlink("/proc/self"))


def _parent_in_proc() -> int:
    return int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[1])
