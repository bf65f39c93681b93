"""`foundry gate FILE`: run the gates over one model.py, for a person."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import yaml

from foundry.adapter import adapted
from foundry.bundle import bundled
from foundry.errors import UserError

if TYPE_CHECKING:
    from foundry.gates import Subject

CPU_RECIPE: dict[str, object] = {"n_layer": 4, "n_head": 4, "n_embd": 128, "block_size": 64, "vocab_size": 65}
BATCH_SIZE = 12
_REFUSAL = "refused: "  # begins the line that is for standard error


def main(argv: list[str] | None = None) -> int:
    """Print one line per gate; return 0 if all pass, 1 if one fails, 2 for input that cannot be used."""
    parser = argparse.ArgumentParser(
        prog="foundry gate",
        description="Run the gates over a model.py and stop at the first that fails. The file's code is "
        "executed in a process of its own, as confined as this machine allows.",
    )
    parser.add_argument("file", type=Path, help="the model's source, with GPTConfig and GPT")
    parser.add_argument(
        "--experiment",
        type=Path,
        help="take model_args and batch_size from this YAML, not nanoGPT's CPU recipe",
    )
    args = parser.parse_args(argv)
    try:
        source = _read(args.file)
        with contextlib.suppress(UserError):  # what has no interface, and cannot get one, the gates describe
            source = adapted(bundled(args.file), args.file.name)
        model_args, batch_size = _configuration(args.experiment)
    except UserError as error:
        return _refuse(str(error))
    from foundry.cli.confined import confined  # import torch: seconds that a bad path need not wait for
    from foundry.gates import Subject

    subject = Subject(source=source, model_args=model_args, batch_size=batch_size)
    said: list[str] = []

    def show(line: str) -> None:
        said.append(line)
        if not line.startswith(_REFUSAL):
            print(line, flush=True)

    code = confined(lambda out: _run(subject, out), show)
    return _refuse(said[-1].removeprefix(_REFUSAL)) if code == 2 else code


def _run(subject: Subject, out: TextIO) -> int:
    from foundry import gates

    for name in gates.names():
        start = time.perf_counter()
        failure = gates.run(name, subject)
        spent = f"{1000 * (time.perf_counter() - start):7.1f} ms"
        if failure is None:
            print(f"✓ {name:<20}{spent}", file=out)
            continue
        print(f"✗ {name:<20}{spent}  {failure.reason}", file=out)
        misfit = _misfit(subject) if name == "instantiate" else None
        if misfit is None:
            return 1
        print(f"{_REFUSAL}{misfit}", file=out)
        return 2
    return 0


def _misfit(subject: Subject) -> str | None:
    """Tell a file that has no GPT, or a configuration that does not fit its fields, from a broken model."""
    from foundry.source import build_config

    try:
        build_config(subject.module, subject.model_args)
    except UserError as error:
        return str(error)
    except Exception:
        return None
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: byte {error.start} cannot be decoded") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None


def _configuration(path: Path | None) -> tuple[dict[str, object], int]:
    """Return model_args and batch size of an experiment, or of nanoGPT's CPU recipe."""
    if path is None:
        return CPU_RECIPE, BATCH_SIZE
    try:
        experiment = yaml.safe_load(_read(path)) or {}
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    model_args = experiment.get("model_args", {}) if isinstance(experiment, dict) else None
    training = experiment.get("training", {}) if isinstance(experiment, dict) else None
    if not isinstance(model_args, dict) or not isinstance(training, dict):
        raise UserError(f"{path} is not an experiment: it needs model_args: and training:, each a mapping")
    batch_size = training.get("batch_size", BATCH_SIZE)
    if not isinstance(batch_size, int) or batch_size < 1:
        raise UserError(f"{path}: training: batch_size is {batch_size!r}, not a positive whole number")
    return {"vocab_size": CPU_RECIPE["vocab_size"], **model_args}, batch_size


def _refuse(sentence: str) -> int:
    print(f"foundry gate: {sentence}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
