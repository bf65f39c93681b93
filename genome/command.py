"""Run git in a fixed environment: no user configuration, no hooks, no variables of a calling hook."""

import os
import re
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from genome.failures import ArenaError, KilledError, explain

IDENTITY = "Foundry <foundry@localhost>"
EPOCH = 1_577_836_800  # 2020-01-01 00:00:00 +0000; candidate n is dated n seconds later

_NAME, _EMAIL = IDENTITY.rstrip(">").split(" <")
_FIXED = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
    **{f"GIT_{role}_NAME": _NAME for role in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{role}_EMAIL": _EMAIL for role in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{role}_DATE": f"{EPOCH} +0000" for role in ("AUTHOR", "COMMITTER")},
}
_SETTINGS = (
    f"core.hooksPath={os.devnull}",  # a hook of the user's must not see, slow or stop a candidate
    f"core.attributesFile={os.devnull}",
    "core.logAllRefUpdates=false",  # a reflog would carry the clock
    "i18n.logOutputEncoding=UTF-8",
)
_USERS = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_CEILING_DIRECTORIES")


class Git:
    """git on one repository, given by its common directory; no process outlives the call that started it."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.place = directory.parent if directory.name == ".git" else directory  # as people call it

    def run(self, *arguments: str, stdin: bytes = b"", extra: Mapping[str, str] | None = None) -> bytes:
        """Run one git command and return its standard output; ArenaError says why it failed."""
        settings = [part for setting in _SETTINGS for part in ("-c", setting)]
        done = call(
            [f"--git-dir={self.directory}", *settings, *arguments],
            environment=fixed_environment() | dict(extra or {}),
            stdin=stdin,
            folder=self.directory,
        )
        if done.returncode != 0:
            complaint = os.fsdecode(done.stderr)
            raise ArenaError(explain(complaint, command=arguments[0], place=self.place))
        return done.stdout

    def succeeds(self, *arguments: str, stdin: bytes = b"") -> bool:
        """Say whether git finds nothing to complain of; KilledError where it was kept from saying."""
        try:
            self.run(*arguments, stdin=stdin)
        except KilledError:
            raise
        except ArenaError:
            return False
        return True


def call(
    arguments: list[str], *, environment: Mapping[str, str], stdin: bytes = b"", folder: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run git to its end, whatever its exit status.

    Ctrl-C is held back meanwhile: it stops the loop, never a transaction half way.

    Raises:
        ArenaError: there is no git.
        KilledError: it was killed before it could say anything.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        done = subprocess.run(
            ["git", *arguments],
            input=stdin,
            capture_output=True,
            env=environment,
            cwd=folder,
            check=False,
            start_new_session=True,
        )
    except (FileNotFoundError, PermissionError) as error:
        if folder is not None and not folder.exists():
            raise ArenaError(f"the repository {folder} is gone: was it moved or deleted?") from error
        raise ArenaError("git was not found on the PATH: install git 2.28 or newer") from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if done.returncode < 0:
        raise KilledError(
            f"git {_command_of(arguments)} was killed (signal {-done.returncode}): "
            "run foundry doctor --repair if there is a run, then go on"
        )
    return done


def _command_of(arguments: list[str]) -> str:
    """Return the first word that is neither an option nor the value of one."""
    return next(word for word in arguments if re.fullmatch("[a-z][a-z-]+", word))


def fixed_environment() -> dict[str, str]:
    """Return the environment in which git does the same for every user and under every caller."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    for home in ("HOME", "XDG_CONFIG_HOME"):  # where a git before 2.32 looks for the user's configuration
        kept.pop(home, None)
    return kept | _FIXED


def users_environment() -> dict[str, str]:
    """Return the user's environment without what a calling git left in it.

    For finding a repository alone: whose repositories to trust (`safe.directory`) is the user's to say.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_") or key in _USERS}
    return kept | {"LC_ALL": "C"}
