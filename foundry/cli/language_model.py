"""Any model that has weights, with its tokenizer: a training, a candidate, a checkpoint, one of the zoo."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from foundry.cli.sample import find
from foundry.data.pretrained.opening import read
from foundry.data.tokenizer import Tokenizer
from foundry.errors import UserError
from foundry.registry import load_part
from foundry.seed import read_model
from foundry.zoo import entry
from foundry.zoo.beginning import Beginning, beginning, tokenizer_beside, weights

if TYPE_CHECKING:
    from torch import nn

CONTEXT = 1024  # tokens, of pretrained models that could have more


@dataclass(frozen=True)
class LanguageModel:
    """A model that can be had, and what turns text into its tokens."""

    name: str
    tokenizer: Tokenizer
    block_size: int  # tokens of context
    build: Callable[[], nn.Module]  # with weights, on the CPU


def language_model(
    what: str, *, arena: str, checkpoint: str = "best", given: str | None = None, block: int | None = None
) -> LanguageModel:
    """Find a model. Does not import torch.

    Args:
        what: the folder of a training or of Hugging Face, a name of the zoo, or a candidate of the arena.
        checkpoint: of a training, best or latest.
        given: weights of a model of the zoo, a path or the name of a package.
        block: tokens of context; by default those of the training, or at most 1,024.

    Raises:
        UserError: there is no such model, or it has no weights, no tokenizer, or not so much context.
    """
    if what in entry.names() or Path(what, "config.json").is_file():
        return _pretrained(what, given, block)
    if given is not None:
        raise UserError(f"--weights is for a model of the zoo, and {what} is none")
    trained = find(what, arena=arena, checkpoint=checkpoint)
    own = trained.experiment.block_size
    if block is not None and block > own:
        raise UserError(f"{trained.name} was made for {own} tokens of context, not for {block}")
    return LanguageModel(
        trained.name,
        trained.dataset.tokenizer,
        block or own,
        lambda: trained.model(lambda done, total: _say(trained.name, done)),
    )


def _pretrained(what: str, given: str | None, block: int | None) -> LanguageModel:
    chosen = beginning(what)
    checkpoint = weights(given) if given is not None else chosen.checkpoint
    if checkpoint is None:
        raise UserError(f"{what} needs --weights: a checkpoint, or a package that carries one")
    context = chosen.model_args["block_size"]
    assert isinstance(context, int)
    if block is not None and block > context:
        raise UserError(f"{what} has {context} tokens of context, not {block}")
    fixed = chosen.base_model != "llama"  # learned positions: a parameter for each
    size = context if fixed else block or min(context, CONTEXT)

    def build() -> nn.Module:
        from foundry.zoo.filling import loaded

        return loaded(read_model(chosen.base_model), {**chosen.model_args, "block_size": size}, checkpoint)

    return LanguageModel(what, _tokenizer(chosen, checkpoint), block or size, build)


def _tokenizer(chosen: Beginning, checkpoint: Path) -> Tokenizer:
    if own := tokenizer_beside(checkpoint):
        return read(own)
    if chosen.tokenizer is None:
        raise UserError(f"{checkpoint} brings no tokenizer: put the model's tokenizer.json beside it")
    made: Tokenizer = load_part("foundry/data/tokenizers", "tokenizer", chosen.tokenizer).build((), 0)
    return made


def _say(name: str, done: int) -> None:
    if done == 1:
        print(f"training {name} as its trial did, for its weights were not kept", file=sys.stderr)
