"""An experiment's text, with the place of every scalar: values change, comments and layout stay."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import yaml


@dataclass(frozen=True)
class Scalar:
    """Hold one value as written, and where it stands in the text."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Experiment:
    """Hold an experiment's text and its scalars by dotted path (`training.learning_rate`)."""

    text: str
    scalars: dict[str, Scalar]

    def get(self, path: str) -> str | None:
        """Return a value as text."""
        scalar = self.scalars.get(path)
        return scalar.text if scalar is not None else None

    def number(self, path: str) -> float | None:
        """Return a value as a number; None if it is missing or is none."""
        try:
            return float(self.get(path) or "")
        except ValueError:
            return None

    def integer(self, path: str) -> int | None:
        """Return a value as a whole number; None if it is missing or is none."""
        try:
            return int(self.get(path) or "")
        except ValueError:
            return None

    def sets(self, argument: str) -> bool:
        """Tell whether `model_args` gives this argument of the configuration."""
        return f"model_args.{argument}" in self.scalars

    def has_section(self, path: str) -> bool:
        """Tell whether there is a mapping with a value in it at `path`."""
        return any(name.startswith(f"{path}.") for name in self.scalars)

    def with_values(self, values: dict[str, str]) -> str:
        """Return the text with other values in the place of these scalars."""
        text = self.text
        for path in sorted(values, key=lambda path: self.scalars[path].start, reverse=True):
            scalar = self.scalars[path]
            text = text[: scalar.start] + values[path] + text[scalar.end :]
        return text


@lru_cache(maxsize=32)
def read_experiment(text: str) -> Experiment:
    """Locate the scalars of an experiment; text that is no YAML mapping has none."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        root = None
    return Experiment(text, dict(_scalars(root, "")) if root is not None else {})


def _scalars(node: yaml.Node, path: str, depth: int = 0) -> Iterator[tuple[str, Scalar]]:
    if isinstance(node, yaml.MappingNode) and depth < 8:  # an alias may make a mapping contain itself
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield from _scalars(value, f"{path}.{key.value}".lstrip("."), depth + 1)
    elif isinstance(node, yaml.ScalarNode):
        yield path, Scalar(node.value, node.start_mark.index, node.end_mark.index)


def float_text(value: float, like: str) -> str:
    """Write a float with 3 significant digits, for YAML 1.1, with an exponent if `like` has one."""
    value = float(f"{value:.3g}")
    plain = repr(value)
    if "e" not in like.lower() and "e" not in plain:
        return plain
    mantissa, exponent = f"{value:.2e}".split("e")
    mantissa = mantissa.rstrip("0")
    return f"{mantissa}{'0' if mantissa.endswith('.') else ''}e{int(exponent):+d}"
