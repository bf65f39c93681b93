"""`foundry zoo [NAME]`: pretrained models that the seed models cover, and experiments that begin there."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from foundry.cli.edge import guarded
from foundry.errors import UserError
from foundry.zoo import config_json, entry
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
    parser.add_argument("--checkpoint", metavar="PATH", help="start from these weights (default: untrained)")
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
    checkpoint = Path(options.checkpoint).resolve() if options.checkpoint else None
    if checkpoint is not None and not checkpoint.exists():
        raise UserError(f"checkpoint {options.checkpoint} does not exist")
    chosen = _of_folder(Path(options.model)) if Path(options.model).is_dir() else _of_entry(options.model)
    name = options.name or chosen.name
    text = experiment_text(
        name,
        chosen.comments,
        chosen.base_model,
        chosen.model_args,
        checkpoint=checkpoint or chosen.checkpoint,
        tokenizer=chosen.tokenizer,
    )
    console.print(text, highlight=False, markup=False, soft_wrap=True)
    if not options.dry_run:
        target = Path(options.out, f"{name}.yaml")
        if target.exists():
            raise UserError(f"{target} exists already: give another --name, or --dry-run")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
        console.print(f"{target}: train it with `foundry train {target}`", highlight=False, markup=False)
    return 0


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    """What an experiment is written of."""

    name: str
    comments: list[str]
    base_model: str
    model_args: Mapping[str, object]
    checkpoint: Path | None = None
    tokenizer: str | None = None


def _of_entry(name: str) -> _Chosen:
    found = entry.read(name)
    return _Chosen(
        name=name,
        comments=[
            f"{found.about}: {found.parameters:,} parameters ({_size(4 * found.parameters)} in float32), "
            f"a context of {found.context:,} tokens.",
            f"Weights: {found.weights} on Hugging Face.",
        ],
        base_model=found.base_model,
        model_args=found.model_args,
        tokenizer=found.tokenizer,
    )


def _of_folder(folder: Path) -> _Chosen:
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} has no config.json, so it is no Hugging Face checkpoint")
    described = config_json.read(folder / "config.json")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name)
    return _Chosen(
        name=name,
        comments=[f"As {folder.resolve().name}/config.json says."],
        base_model=described.base_model,
        model_args=described.model_args,
        checkpoint=folder.resolve(),
    )


def _table() -> Table:
    table = Table("model", "what it is", "source", "parameters", "layers", "width", "heads", "context")
    found = sorted((entry.read(name) for name in entry.names()), key=lambda e: (e.base_model, e.parameters))
    for each in found:
        table.add_row(each.name, each.about, each.base_model, f"{each.parameters:,}", *_shape(each))
    for column in table.columns[3:]:
        column.justify = "right"
    return table


def _shape(found: Entry) -> tuple[str, ...]:
    args = found.model_args
    shared = f"/{args['n_kv_head']}" if "n_kv_head" in args else ""
    return str(args["n_layer"]), str(args["n_embd"]), f"{args['n_head']}{shared}", f"{found.context:,}"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
