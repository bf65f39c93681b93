"""The command line: `foundry COMMAND`, each command a module of this package with `main(argv)`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from foundry.errors import UserError, unknown

COMMANDS = {
    "train": "train one experiment, with metrics, checkpoints and a sample",
    "mutate": "write an experiment that is another with one edit made",
    "compare": "train two experiments with paired seeds: is the difference real?",
    "sweep": "train variants of a baseline, rank them, promote the winner",
    "sample": "let a trained model or a candidate write, with a KV cache",
    "perplexity": "measure how well a model predicts a text",
    "lora": "put low-rank adapters into the weights they belong to",
    "data": "turn text into files of tokens, or look at such",
    "gate": "run the gates on a model file",
    "board": "show the leaderboard of a run",
    "doctor": "say what is wrong with an arena, and repair it",
    "zoo": "list pretrained models, or write an experiment with one",
    "export": "write a trained model for Hugging Face",
    "transfer": "see whether a run's ranking holds at a larger scale",
    "show": "show a candidate: where it comes from, what it scored, what it changes",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command named first; return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: foundry COMMAND [...]\n")
        for name, purpose in COMMANDS.items():
            print(f"  {name:<10} {purpose}")
        print("\n  python evolve.py --help is the loop itself")
        return 0
    try:
        if arguments[0] not in COMMANDS:
            raise unknown("command", arguments[0], COMMANDS)
    except UserError as error:
        print(f"foundry: {error}", file=sys.stderr)
        return 2
    command = importlib.import_module(f"foundry.cli.{arguments[0]}")
    code: int = command.main(arguments[1:])
    return code
