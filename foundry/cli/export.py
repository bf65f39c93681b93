"""`foundry export CANDIDATE --hf DIR`: write a trained model for Hugging Face's transformers."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from foundry.cli.edge import guarded
from foundry.cli.sample import Trained, find
from foundry.cli.show import find_candidate
from foundry.data.pretrained.tokenizer import Pretrained
from foundry.errors import UserError
from genome import Arena

if TYPE_CHECKING:
    from torch import nn

_WITHIN = {"llama": "model.", "gpt2": ""}  # where the layers of seed models lie in those of transformers


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
    parser.add_argument(
        "--adapter",
        action="store_true",
        help="write the adapters of a training alone, for peft (default: merged)",
    )
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
    if options.adapter:
        return _adapter(trained, model, source, args, Path(options.hf))
    count = sum(p.numel() for p in model.parameters())
    architecture = export(model, source, args, Path(options.hf))
    if isinstance(trained.dataset.tokenizer, Pretrained):
        _tokenizer(trained, Path(options.hf))
    if architecture:
        print(f"{options.hf}: {architecture} of {count:,} parameters, for AutoModelForCausalLM")
    else:
        print(
            f"{options.hf}: {count:,} parameters in model.safetensors, with model.py and model_args.json, "
            "for no architecture that the zoo knows computes what this model does"
        )
    return 0


def _adapter(trained: Trained, model: nn.Module, source: str, args: Mapping[str, object], out: Path) -> int:
    """Write what a training of adapters has learned for the model of transformers that they belong to."""
    from foundry.lora import files
    from foundry.zoo.exporting import family

    own = Path(trained.name, "adapter")
    if not own.is_dir():
        raise UserError(
            f"{trained.name} has no adapters: only the folder of a training with a section lora has"
        )
    if (out / files.WEIGHTS).exists():
        raise UserError(f"{out} holds adapters already: name another folder")
    known = family(model, source, args)
    if known not in _WITHIN:
        raise UserError(
            f"{trained.name} is no model that transformers know by these names: merge it, and export that"
        )
    base = trained.experiment.checkpoint or trained.experiment.base_model
    files.translate(own, out, base=base, within=_WITHIN[known], transposed=known == "gpt2")
    print(f"{out}: adapters for peft, on {base}")
    return 0


def _tokenizer(trained: Trained, folder: Path) -> None:
    """Write the tokenizer beside the model, so that AutoTokenizer finds it."""
    assert isinstance(trained.dataset.tokenizer, Pretrained)
    trained.dataset.tokenizer.save(folder)
    names = {number: name for name, number in trained.dataset.tokenizer.special_tokens.items()}
    body = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": names[trained.dataset.tokenizer.end]}
    if start := trained.dataset.tokenizer.start:
        body["bos_token"] = names[start[0]]
    (folder / "tokenizer_config.json").write_text(json.dumps(body, indent=2) + "\n", "utf-8")


def _source(what: str, arena: str) -> str:
    """Return the model.py of what `find` has found."""
    if (folder := Path(what)).is_dir():
        return (folder / "model.py").read_text("utf-8")
    with Arena.open(arena) as opened:
        return opened.files(find_candidate(opened, what))["model.py"]


def _say(name: str, done: int) -> None:
    if done == 1:
        print(f"training {name} as its trial did, for its weights were not kept", file=sys.stderr)
