"""Instantiate: the module executes, the real configuration is within bounds, and a miniature can be built."""

from __future__ import annotations

from foundry.gates.subject import Subject

ORDER = 40


def examine(subject: Subject) -> str | None:
    parameters = sum(parameter.numel() for parameter in subject.skeleton.parameters())
    if parameters == 0:
        return "the model has no parameters"
    if parameters > subject.max_parameters:
        return f"the model has {parameters:,} parameters, more than the limit of {subject.max_parameters:,}"
    subject.fresh()
    return None
