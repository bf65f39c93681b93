"""Write conversations for the model in another format: ChatML, Llama 3 or Alpaca."""

from collections.abc import Iterator
from functools import partial

from operators.operator import MODEL_UNTOUCHED, Example, ExperimentOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment

_FORMAT = "data.conversations.format"
_FORMATS = ("chatml", "llama3", "alpaca")


class ConversationFormat(ExperimentOperator):
    name = "conversation_format"
    summary = "Write conversations as ChatML, Llama 3 or Alpaca has them, where the data are conversations."
    preserves = MODEL_UNTOUCHED
    examples = (
        Example(
            "data:\n  dataset: chats.jsonl\n  conversations:\n    format: chatml\n",
            "data:\n  dataset: chats.jsonl\n  conversations:\n    format: alpaca\n",
            "alpaca",
        ),
        Example("data:\n  dataset: chats.jsonl\n  conversations:\n    format: of-my-own\n"),
        Example("data:\n  dataset: shakespeare_char\n"),
    )

    def words(self, edit: Edit) -> str:
        return f"conversation format → {edit.variant}"

    def find(self, experiment: Experiment) -> Iterator[Offer]:
        current = experiment.get(_FORMAT)
        for name in _FORMATS if current in _FORMATS else ():
            if name != current:
                yield Offer(name, _FORMAT, partial(experiment.with_values, {_FORMAT: name}))


OPERATOR = ConversationFormat()
