"""A list of texts in an experiment, as `data.filters` is one: where each stands, and how to add one."""

from dataclasses import dataclass

import yaml

from operators.syntax.experiment import Scalar


@dataclass(frozen=True)
class Listed:
    """Hold a list's items and its place in the text; `column` is that of its dashes, None in brackets."""

    text: str
    items: tuple[Scalar, ...]
    colon: int  # behind its key
    start: int
    end: int
    column: int | None

    def with_item(self, value: str, instead: Scalar | None) -> str:
        """Return the text with one item more, at the end, or in the place of another."""
        if instead is not None:
            return self.text[: instead.start] + value + self.text[instead.end :]
        if self.column is None:
            comma = ", " if self.items else ""
            return f"{self.text[: self.end - 1].rstrip()}{comma}{value}{self.text[self.end - 1 :]}"
        line_end = self.text.find("\n", self.items[-1].end)
        behind = len(self.text) if line_end < 0 else line_end
        ending = "\r\n" if self.text[:behind].endswith("\r") else "\n"
        head = self.text[:behind].removesuffix("\r")
        return f"{head}{ending}{' ' * self.column}- {value}{self.text[len(head) :]}"

    def emptied(self) -> str:
        """Return the text with an empty list in its place, on the line of its key."""
        end = self.start + len(self.text[self.start : self.end].rstrip())
        said = self.text[self.colon + 1 : self.start].partition("\n")[0].strip()
        comment = f"  {said}" if said else ""
        return f"{self.text[: self.colon + 1]} []{comment}{self.text[end:]}"


def read_list(text: str, section: str, key: str) -> Listed | None:
    """Locate the list of texts at `section.key`; None where there is none, or something else stands there."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    outer = _entry(root, section)
    entry = _entry(outer[1], key) if outer is not None else None
    if entry is None or not isinstance(entry[1], yaml.SequenceNode):
        return None
    named, node = entry
    items = tuple(
        Scalar(item.value, item.start_mark.index, item.end_mark.index)
        for item in node.value
        if isinstance(item, yaml.ScalarNode)
    )
    if len(items) != len(node.value):
        return None
    in_brackets = text[node.start_mark.index : node.start_mark.index + 1] == "["
    column = None if in_brackets else node.start_mark.column
    colon = text.index(":", named.end_mark.index)
    return Listed(text, items, colon, node.start_mark.index, node.end_mark.index, column)


def _entry(node: yaml.Node | None, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    """Return key and value of an entry of a mapping."""
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((pair for pair in node.value if pair[0].value == key), None)
