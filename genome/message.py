"""The message of a candidate's commit: its edits in words, then trailers. Written and read here."""

from collections.abc import Iterable, Iterator, Sequence

from genome.candidate import Candidate, Step, candidate_name

_LONGEST_HEADING = 72


def write_message(*, number: int, generation: int, steps: Sequence[Step], seed: int) -> str:
    """Compose the message; its last paragraph is for `git interpret-trailers`, empty values left out.

    Several edits stand below the heading, a line each, and have an `Operator`, `Variant`, `Site` each.
    """
    trailers = [("Foundry-Number", str(number))]
    for step in steps:
        trailers += [("Operator", step.operator), ("Variant", step.variant), ("Site", step.site)]
    trailers += [("Generation", str(generation)), ("Seed", str(seed))]
    for line in (*(step.words for step in steps), *(value for _, value in trailers)):
        assert line.isprintable(), f"more than one printable line: {line!r}"
        assert line == line.strip(), f"git would strip {line!r}"
    assert all(step.words for step in steps), "an edit needs words"
    heading = _heading([step.words for step in steps])
    assert not heading.startswith("---"), f"git would take the message to end at {heading!r}"
    edits = "".join(f"- {step.words}\n" for step in steps) + "\n" if len(steps) > 1 else ""
    block = "".join(f"{key}: {value}\n" for key, value in trailers if value)
    return f"{heading}\n\n{edits}{block}"


def _heading(words: Sequence[str]) -> str:
    """Join the edits, or say how many there are and those that fit on a line; one alone is given whole."""
    whole = "; ".join(words)
    if len(whole) <= _LONGEST_HEADING or len(words) == 1:
        return whole
    for shown in range(len(words) - 1, 0, -1):
        heading = f"{len(words)} edits: {'; '.join(words[:shown])}; …"
        if len(heading) <= _LONGEST_HEADING:
            break
    return heading


def read_candidate(*, commit: str, tree: str, parents: tuple[str, ...], message: str) -> Candidate | None:
    """Read a candidate back from its commit; None where the message is not one of ours."""
    heading, _, rest = message.partition("\n")
    edits, _, block = rest.rstrip("\n").rpartition("\n\n")
    pairs = [(key, value) for key, _, value in (line.partition(": ") for line in block.split("\n"))]
    trailers = dict(pairs)
    listed = [line[2:] for line in edits.split("\n") if line.startswith("- ")]
    try:
        number, generation, seed = (int(trailers[key]) for key in ("Foundry-Number", "Generation", "Seed"))
        steps = tuple(_steps(pairs, listed or [heading]))
    except (KeyError, ValueError):
        return None
    return Candidate(
        number=number,
        generation=generation,
        commit=commit,
        tree=tree,
        parents=parents,
        name=candidate_name(number=number, generation=generation, steps=steps),
        words=heading,
        steps=steps,
        seed=seed,
    )


def _steps(trailers: Iterable[tuple[str, str]], words: Sequence[str]) -> Iterator[Step]:
    """Yield the edits that trailers name, each from its `Operator` on.

    Raises:
        KeyError: there is none.
        ValueError: there are not as many as words.
    """
    found: list[dict[str, str]] = []
    for key, value in trailers:
        if key == "Operator":
            found.append({key: value})
        elif key in ("Variant", "Site") and found:
            found[-1][key] = value
    for edit, said in zip(found or [{}], words, strict=True):
        yield Step(
            operator=edit["Operator"], variant=edit.get("Variant", ""), site=edit.get("Site", ""), words=said
        )
