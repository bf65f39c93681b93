"""Rewrite a language model's source: what applies where, and the source that results.

One file per operator; a new file that defines OPERATOR is found by itself.
"""

from operators.fingerprint import canonical
from operators.operator import Operator
from operators.registry import apply, load, lookup, proposals, words
from operators.source import Edit, Source

__all__ = ["Edit", "Operator", "Source", "apply", "canonical", "load", "lookup", "proposals", "words"]
