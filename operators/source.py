"""What operators read and write: a source, and the edit that turns one into another."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """Hold the text of a candidate's two files, `model.py` and `experiment.yaml`."""

    model: str
    experiment: str


@dataclass(frozen=True, order=True)
class Edit:
    """Name one rewrite so that it can be replayed: three short ASCII strings, fit for git trailers.

    `site` is in the operator's own words (`MLP:gelu`, `training.learning_rate`); `variant` is made of
    lower-case letters, digits, dots, dashes and underscores.
    """

    operator: str
    variant: str
    site: str
