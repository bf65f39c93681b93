"""What an experiment says about conversations as data. Free of torch: the driver reads experiments too."""

from __future__ import annotations

from dataclasses import dataclass

from foundry.errors import unknown
from foundry.registry import module_names

FORMATS = "foundry/data/conversations/formats"
WORDS = "words"  # of the assistant, without the mark that ends them: the same in every format


@dataclass(frozen=True, kw_only=True)
class Conversations:
    """The data set is a file of conversations, each a record of ShareGPT, OpenAI or Alpaca."""

    format: str = (
        "chatml"  # how they are written for the model: a module of foundry/data/conversations/formats
    )
    loss_on: str = "assistant"  # which tokens are learned: those of the assistant, its words alone, or all
    bad_records: str = "refuse"  # or skip: what to do with a record that cannot be used
    packed: bool = True  # several in one row, where the model can be kept from seeing from one into another

    def __post_init__(self) -> None:
        for kind, name, known in (
            ("conversation format", self.format, module_names(FORMATS)),
            ("value of loss_on", self.loss_on, ["assistant", WORDS, "all"]),
            ("value of bad_records", self.bad_records, ["refuse", "skip"]),
        ):
            if name not in known:
                raise unknown(kind, name, known)
