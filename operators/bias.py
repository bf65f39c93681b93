"""Give linear layers and LayerNorms a bias, or take it away.

GPT-2 has biases; PaLM (Chowdhery et al., 2022) and Llama go without.
"""

from collections.abc import Iterator
from functools import partial

from operators.operator import Example, ExperimentOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment

_BIAS = "model_args.bias"
_OTHER = {"true": "false", "yes": "false", "on": "false", "false": "true", "no": "true", "off": "true"}


class Bias(ExperimentOperator):
    name = "bias"
    summary = "Turn the biases of linear layers and LayerNorms on or off."
    preserves = frozenset({"shapes"})
    examples = (
        Example(
            "model_args: {n_embd: 128, bias: false}\n", "model_args: {n_embd: 128, bias: true}\n", "true"
        ),
        Example("model_args: {n_embd: 128}\n"),
    )

    def words(self, edit: Edit) -> str:
        return "biases in linear layers" if edit.variant == "true" else "no biases in linear layers"

    def find(self, experiment: Experiment) -> Iterator[Offer]:
        other = _OTHER.get((experiment.get(_BIAS) or "").lower())
        if other is not None:
            yield Offer(other, _BIAS, partial(experiment.with_values, {_BIAS: other}))


OPERATOR = Bias()
