"""Train on other tokens of the same text: characters, or byte pairs of some number.

Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units" (2016). Losses go on being
counted per token of the tokenizer that was there first, so that they can be compared.
"""

from collections.abc import Iterator
from functools import partial

from operators.operator import Example, ExperimentOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment, read_experiment
from operators.syntax.neighbour import child_of, written

_TOKENIZER, _SIZE, _UNIT = "data.tokenizer", "data.vocab_size", "data.loss_per"
_UNSAID = ("", "~", "null")
_KINDS = {"char": None, "bpe-512": 512, "bpe-1024": 1024, "bpe-2048": 2048}


class Tokenizer(ExperimentOperator):
    name = "tokenizer"
    summary = "Train on characters or on byte pairs; the loss goes on being counted in the tokens of before."
    preserves = frozenset()
    examples = (
        Example(
            "data:\n  dataset: x\n",
            "data:\n  dataset: x\n  tokenizer: bpe\n  vocab_size: 512\n  loss_per: char\n",
            "bpe-512",
        ),
        Example(
            "data:\n  dataset: x\n  tokenizer: bpe\n  vocab_size: 512\n  loss_per: char\n",
            "data:\n  dataset: x\n  tokenizer: bpe\n  vocab_size: 1024\n  loss_per: char\n",
            "bpe-1024",
        ),
        Example(
            "data: {tokenizer: bpe, vocab_size: 2048}\n",
            "data: {tokenizer: char, loss_per: bpe-2048, vocab_size: null}\n",
            "char",
        ),
        Example("training:\n  batch_size: 12\n"),
        Example("data:\n  dataset: x\n  conversations:\n    format: chatml\n"),
        Example("data:\n  dataset: x\n  vocabulary: y.txt\n"),
        Example("data:\n  dataset: prepared/x\n"),
        Example("data:\n  dataset: x\ninit_from: pretrained\ncheckpoint: y\n"),
    )

    def words(self, edit: Edit) -> str:
        name, _, size = edit.variant.partition("-")
        return f"trained on {size} byte pairs" if name == "bpe" else "trained on characters"

    def find(self, experiment: Experiment) -> Iterator[Offer]:
        if child_of(experiment, "data", "dataset") is None or not _is_free(experiment):
            return
        current = _spelled(_said(experiment, _TOKENIZER) or "char", _said(experiment, _SIZE))
        for kind in _KINDS:
            if kind != current:
                yield Offer(kind, _TOKENIZER, partial(_with_tokens, experiment, kind, current))


def _is_free(experiment: Experiment) -> bool:
    """Tell whether nothing else decides on the tokens: weights, conversations, or data that are prepared."""
    if experiment.has_section("data.conversations") or experiment.has_section("data.sources"):
        return False
    dataset = experiment.get("data.dataset") or ""
    is_a_folder = "/" in dataset and "." not in dataset.rpartition("/")[2]
    decided = ("data.vocabulary", "checkpoint")
    return not is_a_folder and not any(_said(experiment, path) for path in decided)


def _said(experiment: Experiment, path: str) -> str | None:
    value = experiment.get(path)
    return None if value in _UNSAID else value


def _spelled(name: str, size: str | None) -> str:
    return f"{name}-{size}" if size else name


def _with_tokens(experiment: Experiment, kind: str, current: str) -> str:
    """Write tokenizer and size, and in whose tokens losses are counted, if that was not said before."""
    name, size = kind.partition("-")[0], _KINDS[kind]
    text = written(experiment, _TOKENIZER, name, first="dataset")
    if _said(experiment, _UNIT) is None:
        text = written(read_experiment(text), _UNIT, current, first="tokenizer")
    if size is not None or _SIZE in experiment.scalars:
        text = written(read_experiment(text), _SIZE, str(size or "null"), first="tokenizer")
    return text


OPERATOR = Tokenizer()
