"""A tokenizer.json of a tokenizer in the manner of SentencePiece."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from foundry.data.pretrained.definition import end_among
from foundry.data.pretrained.pieces import ALWAYS, FIRST, NEVER, SPACE, STRETCHES, Pieces, Taken
from foundry.data.pretrained.template import start_of
from foundry.errors import UserError

_WRITTEN = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
_PREPENDED = {"type": "Prepend", "prepend": SPACE}
_READ = {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}
_BESIDES = ("ByteFallback", "Fuse", "Strip")  # what else makes text of tokens


def is_one(body: Mapping[str, Any]) -> bool:
    """Tell whether a tokenizer.json writes spaces as letters, or falls back on bytes of letters."""
    before = steps(body, "normalizer", "normalizers") + steps(body, "pre_tokenizer", "pretokenizers")
    kinds = {step.get("type") for step in before}
    by_letters = bool(kinds & {"Metaspace", "Prepend"}) or _WRITTEN in before
    return "ByteLevel" not in kinds and (by_letters or bool(body["model"].get("byte_fallback")))


def definition(body: Mapping[str, Any], named_end: Iterable[str], path: object) -> Pieces:
    """Read one of byte pairs.

    Raises:
        UserError: it changes text, or cuts it, in a way that is not known here.
    """
    model, everything = body["model"], body.get("added_tokens") or []
    added = {token["content"]: int(token["id"]) for token in everything if token["special"]}
    prefix, words = _prefix(body)
    _require_read(body)
    merges = [pair(merge) for merge in model["merges"]]
    for one, other in merges:
        if not {one, other, one + other} <= model["vocab"].keys():
            raise UserError(f"the tokenizer joins {one!r} and {other!r}, which make no token")
    return Pieces(
        vocab={token: int(number) for token, number in model["vocab"].items() if token not in added},
        merges=merges,
        added=added,
        taken=[_taken(token) for token in everything if not token["special"]],
        prefix=prefix,
        words=words,
        byte_fallback=bool(model.get("byte_fallback", False)),
        whole_words=bool(model.get("ignore_merges", False)),
        unknown=model.get("unk_token"),
        fuse_unknown=bool(model.get("fuse_unk", False)),
        start=start_of(body.get("post_processor")),
        end=end_among(added, named_end, path),
    )


def pair(merge: str | list[str]) -> tuple[str, str]:
    """Return what a merge joins, of which there are two ways to write it."""
    first, second = merge.split(" ") if isinstance(merge, str) else merge
    return first, second


def steps(body: Mapping[str, Any], name: str, several: str) -> list[Mapping[str, Any]]:
    """List what is done in one place of a tokenizer.json."""
    step = body.get(name)
    if step is None:
        return []
    return list(step[several]) if step["type"] == "Sequence" else [step]


def words(done: Iterable[Mapping[str, Any]]) -> str:
    """Name some steps for a person."""
    return ", ".join(str(step.get("type")) for step in done) or "nothing"


def _prefix(body: Mapping[str, Any]) -> tuple[str, bool]:
    """Say when a space comes before a text, and whether words are cut before pairs are joined."""
    changes = steps(body, "normalizer", "normalizers")
    if changes not in ([], [_WRITTEN], [_PREPENDED, _WRITTEN], [_WRITTEN, _PREPENDED]):
        raise UserError(f"it changes text by {words(changes)}, and only spaces written as letters are known")
    cuts = steps(body, "pre_tokenizer", "pretokenizers")
    if [cut["type"] for cut in cuts] == ["Metaspace"] and _PREPENDED not in changes:
        if cuts[0].get("replacement", SPACE) != SPACE:
            raise UserError(f"it writes a space as {cuts[0]['replacement']!r}, and only {SPACE!r} is known")
        older = ALWAYS if cuts[0].get("add_prefix_space", True) else NEVER
        prefix = cuts[0].get("prepend_scheme", older)
        if prefix not in (NEVER, FIRST, ALWAYS):
            raise UserError(f"it puts a space before a text {prefix!r}, which is not known here")
        return prefix, bool(cuts[0].get("split", True))
    by_spaces = [cut["type"] == "Split" and cut["pattern"] == {"String": " "} for cut in cuts]
    if not all(by_spaces) or not changes:  # of spaces, there are none left
        raise UserError(f"it cuts words by {words(cuts)}, which is not known here")
    return (STRETCHES if _PREPENDED in changes else NEVER), False


def _require_read(body: Mapping[str, Any]) -> None:
    """Check that tokens become the text that they were made of."""
    done = steps(body, "decoder", "decoders")
    reads = [step for step in done if step == _READ or step["type"] == "Metaspace"]
    if len(reads) != 1 or any(step["type"] not in _BESIDES for step in done if step not in reads):
        raise UserError(f"it makes text of tokens by {words(done)}, which is not known here")


def _taken(token: Mapping[str, Any]) -> Taken:
    return Taken(
        content=token["content"],
        number=int(token["id"]),
        normalized=bool(token.get("normalized", True)),
        single_word=bool(token.get("single_word", False)),
        lstrip=bool(token.get("lstrip", False)),
        rstrip=bool(token.get("rstrip", False)),
    )
