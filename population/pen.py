"""Text that a given output can show: its encoding, its cells, no control characters."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

_ASCII = str.maketrans(
    {"Δ": "d", "±": "+-", "…": "~", "→": "->", "·": "-", "━": "=", "─": "-", "◆": "*", "▸": ">", "×": "x"}
)


@dataclass(frozen=True)
class Pen:
    """Write for one encoding. Widths are in terminal cells."""

    encoding: str

    def spell(self, text: str) -> str:
        """Return the text without control characters, and with a stand-in for what cannot be encoded."""
        if not text.isprintable():
            text = "".join(letter if letter.isprintable() else " " for letter in text)
        try:
            text.encode(self.encoding)
        except UnicodeEncodeError:
            return text.translate(_ASCII).encode(self.encoding, "replace").decode(self.encoding)
        return text

    def elide(self, text: str, width: int) -> str:
        """Spell the text within a width, marking with … what was cut off."""
        text = self.spell(text)
        if cell_len(text) <= width:
            return text
        return set_cell_size(
            set_cell_size(text, max(0, width - 1)).rstrip() + self.spell("…"), width
        ).rstrip()

    def fill(self, text: str, width: int, *, right: bool = False) -> str:
        """Spell the text in exactly this width, cut or padded."""
        text = self.elide(text, width)
        blank = " " * (width - cell_len(text))
        return blank + text if right else text + blank
