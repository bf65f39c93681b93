"""What a rogue could harm: planted files, listening sockets, a driver that hears signals; all watched."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from foundry.data.dataset import Dataset

SECRET = "a-secret-of-the-person-who-runs-this"
_CANARY = "canary.txt"
_LARGEST = 64 << 20  # bytes of checkpoints that a few tiny models may leave


class Surroundings:
    """Folders below one root, which is also the mark by which the processes of the pool are known."""

    def __init__(self, root: Path, text: str) -> None:
        self.root = root
        self.text = root / "data" / "text.txt"
        self.checkpoints = root / "checkpoints"
        self._victim = self.checkpoints / ("0" * 64)
        self._memo = self.checkpoints / "functions" / "known.json"
        self._planted = {
            self.text: text,
            self._victim / "5.safetensors": "weights of an innocent",
            self._memo: '{"loss": 1.5}',
            **{root / name / _CANARY: name for name in ("home", "outside", "arena")},
            root / "arena" / ".git" / "HEAD": "ref: refs/heads/main\n",
            root / "arena" / "ledger.sqlite": "SQLite format 3",
        }
        self._folders = sorted({path.parent for path in self._planted})
        self.plant()
        self._signals: list[int] = []
        self._closing = ExitStack()
        self._listen()

    def close(self) -> None:
        """Hear nothing any more."""
        self._closing.close()

    def _listen(self) -> None:
        before = signal.signal(signal.SIGUSR1, lambda number, _: self._signals.append(number))
        self._closing.callback(signal.signal, signal.SIGUSR1, before)
        self._name = f"rogues-{os.getpid()}"
        kinds: list[tuple[int, int, Any]] = [
            (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            (socket.AF_UNIX, socket.SOCK_STREAM, f"\0{self._name}"),
        ]
        self._sockets = [
            self._closing.enter_context(socket.socket(family, kind)) for family, kind, _ in kinds
        ]
        for listening, (_, kind, address) in zip(self._sockets, kinds, strict=True):
            listening.bind(address)
            listening.setblocking(False)
            if kind == socket.SOCK_STREAM:
                listening.listen()

    def plant(self) -> None:
        """Put every file in its place, as it was in the beginning."""
        for path, text in self._planted.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() or path.read_text() != text:
                path.write_text(text)
        self._before = self._state()
        self._size_before = self._size()

    def places(self, dataset: Dataset) -> Mapping[str, object]:
        """Tell a rogue all that it would like to know."""
        tcp, udp, _ = (listening.getsockname() for listening in self._sockets)
        return {
            "mark": str(self.root),
            "driver": os.getpid(),
            "secret": SECRET,
            "data": str(self.text),
            "ledger": str(self.root / "arena" / "ledger.sqlite"),
            "checkpoint": str(self._victim / "5.safetensors"),
            "memo": str(self._memo.parent),
            "folders": [str(folder) for folder in self._folders],
            "tcp": tcp[1],
            "udp": udp[1],
            "unix": self._name,
            "needles": needles(dataset),
        }

    def complaints(self) -> list[str]:
        """Say what has been harmed since `plant`."""
        found = [f"{path} is not what it was" for path, state in self._before.items() if _of(path) != state]
        found += [f"{path} is new" for path in self._state() if path not in self._before]
        found += [f"{path} was left" for path in self._strays()]
        found += [f"the driver got signal {self._signals.pop()}" for _ in list(self._signals)]
        found += [f"a {listening} was reached" for listening in self._sockets if _reached(listening)]
        size = self._size() - self._size_before
        return found + ([f"{size} bytes of checkpoints"] if size > _LARGEST else [])

    def _size(self) -> int:
        return sum(path.stat().st_size for path in self.checkpoints.rglob("*") if path.is_file())

    def _state(self) -> dict[Path, object]:
        """Take down what is planted, and what else is where only planted things should be."""
        own = [folder for folder in self._folders if folder != self._memo.parent]
        return {path: _of(path) for folder in own for path in [folder, *folder.iterdir()]} | {
            self._memo: _of(self._memo)
        }

    def _strays(self) -> list[Path]:
        name = str(self.root).strip("/").replace("/", "-")
        folders = [*self._folders, Path.cwd(), Path.home(), Path(tempfile.gettempdir()), Path("/dev/shm")]
        found = [folder / name for folder in folders if (folder / name).exists()]
        for path in found:
            path.unlink()
        return found

    def processes(self) -> set[int]:
        """List the processes that bear the mark: the server, all that it has forked, and what those run."""
        found = set()
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if str(self.root).encode() in (entry / "cmdline").read_bytes():
                    found.add(int(entry.name))
        return found - {os.getpid()}

    def left_beside(self, known: set[int]) -> set[int]:
        """Give processes that are about to end some time to do so; end what stays, and tell."""
        deadline = time.monotonic() + 5
        while (left := self.processes() - known) and time.monotonic() < deadline:
            time.sleep(0.02)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return left


def needles(dataset: Dataset) -> list[tuple[str, int, str]]:
    """Give the beginning of the validation text as hexadecimal, and length and digest of what follows.

    Once as characters and once as the tokens that the harness holds.
    """
    tokens = dataset.splits["val_search"].tokens[:64]
    forms = [dataset.decode(tokens.tolist()).encode(), tokens.tobytes()]
    halves = [(form[: len(form) // 2], form[len(form) // 2 :]) for form in forms]
    return [(begins.hex(), len(rest), hashlib.sha256(rest).hexdigest()) for begins, rest in halves]


def _of(path: Path) -> object:
    """Take down what must not change of a file or folder."""
    try:
        about = path.stat()
        return about.st_mode, about.st_mtime_ns, path.read_bytes() if path.is_file() else None
    except OSError as error:
        return type(error).__name__


def _reached(listening: socket.socket) -> bool:
    try:
        if listening.type == socket.SOCK_STREAM:
            listening.accept()[0].close()
        else:
            listening.recv(100)
    except BlockingIOError:
        return False
    return True
