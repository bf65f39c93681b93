"""The environment: what is needed stays, what is not known goes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from foundry.sandbox.environment import scrubbed


def test_secrets_go_and_settings_stay() -> None:
    environ = {
        "PATH": "/bin",
        "LC_ALL": "C.UTF-8",
        "CUDA_VISIBLE_DEVICES": "1",
        "OMP_NUM_THREADS": "1",
        "AWS_SECRET_ACCESS_KEY": "a",
        "GITHUB_TOKEN": "b",
        "SSH_AUTH_SOCK": "/tmp/agent",
        "DATABASE": "postgres://user:password@host",
        "PYTHONSTARTUP": "/tmp/code.py",
        "PYTHONPATH": "/tmp",
    }
    assert list(scrubbed(environ)) == ["PATH", "LC_ALL", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"]


@given(st.dictionaries(st.text(), st.text()))
def test_nothing_is_added_or_changed(environ: dict[str, str]) -> None:
    assert scrubbed(environ).items() <= environ.items()
    assert scrubbed(scrubbed(environ)) == scrubbed(environ)
