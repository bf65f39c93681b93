"""`foundry lora merge RUN --out DIR`: a model with its adapters in its weights, as a plain training."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from foundry.cli.edge import guarded
from foundry.data import dataset
from foundry.errors import UserError
from foundry.training import folder as folders
from foundry.training.experiment import parse


def main(argv: Sequence[str] | None = None) -> int:
    """Merge; return 0, or 2 for a mistake."""
    parser = argparse.ArgumentParser(prog="foundry lora", description="Work with low-rank adapters.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    merging = commands.add_parser("merge", help="put adapters into the weights that they belong to")
    merging.add_argument("run", type=Path, help="a folder that `foundry train` wrote")
    merging.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the merged model")
    merging.add_argument(
        "--adapter",
        type=Path,
        metavar="DIR",
        help="a folder of PEFT's (default: what the run itself trained)",
    )
    merging.add_argument("--checkpoint", choices=("best", "latest"), default="best", help="default: best")
    merging.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(argv)
    return guarded(lambda: _merge(options), name="foundry lora", debug=options.debug)


def _merge(options: argparse.Namespace) -> int:
    run, out = options.run, options.out
    weights = run / f"{options.checkpoint}.safetensors"
    for path in (run / "experiment.yaml", run / "model.py", weights):
        if not path.is_file():
            raise UserError(f"{run} has no {path.name}: `foundry train` makes folders that do")
    folders.require_free(out)
    text, source = ((run / name).read_text("utf-8") for name in ("experiment.yaml", "model.py"))
    experiment = parse(text, str(run / "experiment.yaml"))
    data = dataset.load(experiment.data)

    from foundry.decoding.trained import from_checkpoint
    from foundry.lora import files
    from foundry.lora.adapt import fold
    from foundry.training import checkpoint

    model = from_checkpoint(weights, source, experiment, data)
    if options.adapter is not None:
        _, adapted = files.load(options.adapter, model)
        print(adapted)
        fold(model)
    folders.make(out, {"model.py": source, "experiment.yaml": without_section(text, "lora")})
    checkpoint.save(out / "best.safetensors", model, [], 0)
    (out / "latest.safetensors").symlink_to("best.safetensors")  # for --checkpoint latest
    print(f"{out}: {sum(p.numel() for p in model.parameters()):,} parameters, no adapter")
    return 0


def without_section(text: str, name: str) -> str:
    """Return a YAML mapping without one of its keys at the top level, the rest as it is written."""
    return re.sub(rf"(?m)^{name}:.*\n?(?:(?:[ \t].*|[ \t]*)(?:\n|\Z))*", "", text)
