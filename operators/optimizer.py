"""Train matrices with Muon, or everything with AdamW.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024).
"""

from collections.abc import Iterator

from operators.operator import MODEL_UNTOUCHED, Example, ExperimentOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment
from operators.syntax.neighbour import set_beside

_OPTIMIZER = "training.optimizer"
_RATE = "training.muon_lr"


class Optimizer(ExperimentOperator):
    name = "optimizer"
    summary = "Turn AdamW into Muon (with a learning rate of its own for matrices), and back."
    preserves = MODEL_UNTOUCHED
    examples = (
        Example(
            "training:\n  optimizer: adamw\n  weight_decay: 0.1\n",
            "training:\n  optimizer: muon\n  muon_lr: 0.02\n  weight_decay: 0.1\n",
            "muon",
        ),
        Example(
            "training:\n  optimizer: muon\n  muon_lr: 0.03\n  weight_decay: 0.1\n",
            "training:\n  optimizer: adamw\n  weight_decay: 0.1\n",
            "adamw",
        ),
        Example("training:\n  optimizer: sgd\n"),
    )

    def words(self, edit: Edit) -> str:
        old = "muon" if edit.variant == "adamw" else "adamw"
        return f"optimizer {old} → {edit.variant}"

    def find(self, experiment: Experiment) -> Iterator[Offer]:
        current = (experiment.get(_OPTIMIZER) or "").lower()
        if current == "adamw":
            yield Offer("muon", _OPTIMIZER, lambda: _to_muon(experiment))
        elif current == "muon":
            yield Offer("adamw", _OPTIMIZER, lambda: _to_adamw(experiment))


def _to_muon(experiment: Experiment) -> str:
    """Set the optimizer and, unless already there, its rate beside it."""
    if _RATE in experiment.scalars:
        return experiment.with_values({_OPTIMIZER: "muon"})
    return set_beside(experiment, _OPTIMIZER, "muon_lr", "0.02", changed="muon")


def _to_adamw(experiment: Experiment) -> str:
    """Set the optimizer and take its rate away if it has a line to itself."""
    values = {_OPTIMIZER: "adamw"}
    rate = experiment.scalars.get(_RATE)
    if rate is None:
        return experiment.with_values(values)
    marked = experiment.with_values({**values, _RATE: "\0"})
    lines = marked.splitlines(keepends=True)
    return "".join(line for line in lines if "\0" not in line) if _alone(lines) else _unbraced(marked)


def _alone(lines: list[str]) -> bool:
    return any("\0" in line and line.lstrip().startswith("muon_lr") for line in lines)


def _unbraced(marked: str) -> str:
    """Take `, muon_lr: …` or `muon_lr: …, ` out of a mapping in braces."""
    before, after = marked.split("\0")
    head = before[: before.rindex("muon_lr")].rstrip()
    if head.endswith(","):
        return head[:-1] + after
    return head + after.lstrip().removeprefix(",").lstrip()


OPERATOR = Optimizer()
