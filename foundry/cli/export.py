"""`foundry export CANDIDATE --hf DIR`: write a trained model for Hugging Face's transformers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from foundry.cli.edge import guarded
from foundry.cli.sample import find
from foundry.cli.show import find_candidate
from genome import Arena


def main(argv: Sequence[str] | None = None) -> int:
    """Export; return 0, or 2 for a mistake."""
    parser = argparse.ArgumentParser(
        prog="foundry export", description="Write a trained model for Hugging Face's transformers."
    )
    parser.add_argument(
        "what",
        metavar="CANDIDATE",
        help="a folder that `foundry train` wrote, such as runs/train/baseline, or a candidate: "
        "`champion`, its number, its name or a beginning of the name",
    )
    parser.add_argument("--hf", required=True, metavar="DIR", help="new folder for config.json and weights")
    parser.add_argument("--arena", default="runs/evolve", help="of the candidate (default: runs/evolve)")
    parser.add_argument("--checkpoint", choices=("best", "latest"), default="best", help="default: best")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(argv)
    return guarded(lambda: _export(options), name="foundry export", debug=options.debug)


def _export(options: argparse.Namespace) -> int:
    trained = find(options.what, arena=options.arena, checkpoint=options.checkpoint)
    source = _source(options.what, options.arena)

    from foundry.training.vocabulary import vocab_size
    from foundry.zoo.exporting import export

    model = trained.model(lambda done, _: _say(trained.name, done))
    args = {**trained.experiment.model_args, "vocab_size": vocab_size(model)}
    count = sum(p.numel() for p in model.parameters())
    architecture = export(model, source, args, Path(options.hf))
    if architecture:
        print(f"{options.hf}: {architecture} of {count:,} parameters, for AutoModelForCausalLM")
    else:
        print(
            f"{options.hf}: {count:,} parameters in model.safetensors, with model.py and model_args.json, "
            "for no architecture that the zoo knows computes what this model does"
        )
    return 0


def _source(what: str, arena: str) -> str:
    """Return the model.py of what `find` has found."""
    if (folder := Path(what)).is_dir():
        return (folder / "model.py").read_text("utf-8")
    with Arena.open(arena) as opened:
        return opened.files(find_candidate(opened, what))["model.py"]


def _say(name: str, done: int) -> None:
    if done == 1:
        print(f"training {name} as its trial did, for its weights were not kept", file=sys.stderr)
