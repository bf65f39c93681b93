"""Train on a part of the text: what is neither too short nor too long, not tables, not repetition.

Rae et al., "Scaling Language Models: Methods, Analysis & Insights from Training Gopher" (2021), A.1.1.
"""

from collections.abc import Iterator
from functools import partial

from operators.operator import MODEL_UNTOUCHED, Example, ExperimentOperator, Offer
from operators.source import Edit
from operators.syntax.experiment import Experiment
from operators.syntax.listed import Listed, read_list
from operators.syntax.neighbour import child_of, set_beside

_FILTERS = "data.filters"
_THRESHOLDS = {
    "min_length": ("20", "100"),  # characters of a document, or of a paragraph where the text is one
    "max_length": ("500", "2000"),
    "letters": ("0.6", "0.7"),  # share of what is not white space
    "repeated_lines": ("0.1", "0.3"),  # share of the lines
}


class DataFilter(ExperimentOperator):
    name = "data_filter"
    summary = "Filter the training text by length, share of letters or repeated lines; or filter nothing."
    preserves = MODEL_UNTOUCHED
    examples = (
        Example(
            "data:\n  dataset: x\n",
            "data:\n  dataset: x\n  filters: [min_length=20]\n",
            "min_length-20",
        ),
        Example(
            "data:\n  filters:\n    - letters=0.6  # of all\n",
            "data:\n  filters:\n    - letters=0.6  # of all\n    - max_length=500\n",
            "max_length-500",
        ),
        Example("data: {filters: [letters=0.6]}\n", "data: {filters: [letters=0.7]}\n", "letters-0.7"),
        Example("data: {filters: [letters=0.6]}\n", "data: {filters: []}\n", "none"),
        Example("training:\n  batch_size: 12\n"),
    )

    def words(self, edit: Edit) -> str:
        name, _, threshold = edit.variant.partition("-")
        if not threshold:
            return "no filter of the training text"
        return f"training text of {name.replace('_', ' ')} {threshold} only"

    def find(self, experiment: Experiment) -> Iterator[Offer]:
        if experiment.has_section("data.conversations"):
            return
        filters = read_list(experiment.text, "data", "filters")
        beside = child_of(experiment, "data", first="dataset")
        if filters is not None:
            yield from _changes(filters)
        elif beside is not None and _FILTERS not in experiment.scalars:
            for name, values in _THRESHOLDS.items():
                for value in values:
                    code = f"[{name}={value}]"
                    rewrite = partial(set_beside, experiment, beside, "filters", code)
                    yield Offer(f"{name}-{value}", _FILTERS, rewrite)


def _changes(filters: Listed) -> Iterator[Offer]:
    """Offer other thresholds of the filters that are there, filters that are not, and none at all."""
    present = {item.text.partition("=")[0]: item for item in filters.items}
    for name, values in _THRESHOLDS.items():
        instead = present.get(name)
        for value in values:
            if instead is None or _threshold(instead.text) != float(value):
                rewrite = partial(filters.with_item, f"{name}={value}", instead)
                yield Offer(f"{name}-{value}", _FILTERS, rewrite)
    if present:
        yield Offer("none", _FILTERS, filters.emptied)


def _threshold(item: str) -> float | None:
    try:
        return float(item.partition("=")[2])
    except ValueError:
        return None


OPERATOR = DataFilter()
