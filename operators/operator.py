"""The interface that every operator implements.

An operator lists offers; each knows how to carry itself out. `sites` and `apply` are both read from
that one list, so an edit that is listed can always be replayed and one that is not never can.
"""

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, Literal

from operators.source import Edit, Source
from operators.syntax.experiment import Experiment, read_experiment
from operators.syntax.program import Program, read_program

Family = Literal["knowledge", "generic", "experiment"]
Invariant = Literal["shapes", "parameter_count", "function_at_init"]

MODEL_UNTOUCHED: frozenset[Invariant] = frozenset({"shapes", "parameter_count", "function_at_init"})

_VARIANT = re.compile(r"[a-z0-9][a-z0-9_.-]*\Z")
_SITE = re.compile(r"[!-~]{1,80}\Z")
_LONGEST_WORDS = 59


@dataclass(frozen=True)
class Offer:
    """One rewrite that applies: what to call it, and the function that returns the rewritten text."""

    variant: str
    site: str
    rewrite: Callable[[], str]


@dataclass(frozen=True)
class Example:
    """Show a text before and after; `after` is None where the operator must leave `before` alone.

    The text is a model's source, or an experiment for operators of that family.
    """

    before: str
    after: str | None = None
    variant: str = ""


class Operator(ABC):
    """List where one kind of rewrite applies, and carry it out. Operators hold no state and no chance."""

    name: ClassVar[str]
    family: ClassVar[Family]
    summary: ClassVar[str]
    preserves: ClassVar[frozenset[Invariant]]  # by every variant
    preserving: ClassVar[frozenset[str]] = frozenset()  # variants that preserve function_at_init besides
    examples: ClassVar[tuple[Example, ...]]
    aliases: ClassVar[Mapping[str, str]] = {}  # other names of variants, for people

    def keeps(self, edit: Edit) -> frozenset[Invariant]:
        """Return what one edit preserves."""
        also: frozenset[Invariant] = frozenset({"function_at_init"})
        return self.preserves | also if edit.variant in self.preserving else self.preserves

    @abstractmethod
    def words(self, edit: Edit) -> str:
        """Say the edit in fewer than 60 characters."""

    @abstractmethod
    def _offers(self, source: Source) -> Iterator[Offer]:
        """Yield what applies, in stable order."""

    @abstractmethod
    def _rewritten(self, source: Source, text: str) -> Source:
        """Put rewritten text in the place of what it was made from."""

    def sites(self, source: Source) -> list[Edit]:
        """List every edit that this operator offers, in stable order; where none applies, an empty list."""
        return [Edit(self.name, offer.variant, offer.site) for offer in offers(self, source)]

    def apply(self, source: Source, edit: Edit) -> Source:
        """Return the edited source. Raises ValueError if `edit` is not among `sites(source)`."""
        for offer in offers(self, source):
            if Edit(self.name, offer.variant, offer.site) == edit:
                return self._rewritten(source, offer.rewrite())
        raise ValueError(f"{edit.operator} {edit.variant} does not apply at {edit.site!r} in this source")

    def _distinct(self, source: Source) -> Iterator[Offer]:
        """Number offers that would share a name, and leave out those that no trailer could hold."""
        seen: Counter[tuple[str, str]] = Counter()
        for offer in self._offers(source):
            assert _VARIANT.match(offer.variant), offer.variant
            if not _SITE.match(offer.site):
                continue
            seen[offer.variant, offer.site] += 1
            count = seen[offer.variant, offer.site]
            yield offer if count == 1 else replace(offer, site=f"{offer.site}#{count}")


@lru_cache(maxsize=8)  # edits are applied soon after they were listed
def offers(operator: Operator, source: Source) -> tuple[Offer, ...]:
    """Return what an operator offers for a source, each under a name of its own."""
    return tuple(operator._distinct(source))


class ModelOperator(Operator):
    """Rewrite `model.py`; text that does not parse has no sites."""

    @abstractmethod
    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        """Yield what applies to this program; each offer returns the new text of the model."""

    def _offers(self, source: Source) -> Iterator[Offer]:
        program = read_program(source.model)
        if program is not None:
            yield from self.find(program, read_experiment(source.experiment))

    def _rewritten(self, source: Source, text: str) -> Source:
        return replace(source, model=text)


class ExperimentOperator(Operator):
    """Rewrite `experiment.yaml`; text that does not parse has no sites."""

    family = "experiment"

    @abstractmethod
    def find(self, experiment: Experiment) -> Iterator[Offer]:
        """Yield what applies to this experiment; each offer returns its new text."""

    def _offers(self, source: Source) -> Iterator[Offer]:
        yield from self.find(read_experiment(source.experiment))

    def _rewritten(self, source: Source, text: str) -> Source:
        return replace(source, experiment=text)


def place(site: str) -> tuple[str, str]:
    """Split a site `Class.method:what#2` into where it is and what stands there."""
    where, _, what = site.partition("#")[0].partition(":")
    return where, what


def sentence(text: str) -> str:
    """Shorten words about an edit to fewer than 60 characters."""
    return text if len(text) <= _LONGEST_WORDS else text[: _LONGEST_WORDS - 1] + "…"
