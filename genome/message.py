"""The message of a candidate's commit: the edit in words, then trailers. Written and read here."""

from genome.candidate import Candidate, candidate_name


def write_message(
    *, number: int, generation: int, words: str, operator: str, variant: str, site: str, seed: int
) -> str:
    """Compose the message; its last paragraph is for `git interpret-trailers`, empty values left out."""
    trailers = {
        "Foundry-Number": str(number),
        "Operator": operator,
        "Variant": variant,
        "Site": site,
        "Generation": str(generation),
        "Seed": str(seed),
    }
    for line in (words, *trailers.values()):
        assert line.isprintable(), f"more than one printable line: {line!r}"
        assert line == line.strip(), f"git would strip {line!r}"
    assert words, "an edit needs words"
    assert not words.startswith("---"), f"git would take the message to end at {words!r}"
    block = "".join(f"{key}: {value}\n" for key, value in trailers.items() if value)
    return f"{words}\n\n{block}"


def read_candidate(*, commit: str, tree: str, parents: tuple[str, ...], message: str) -> Candidate | None:
    """Read a candidate back from its commit; None where the message is not one of ours."""
    words, _, rest = message.partition("\n")
    block = rest.rstrip("\n").rpartition("\n\n")[2]
    trailers = {key: value for key, _, value in (line.partition(": ") for line in block.split("\n"))}
    try:
        number, generation, seed = (int(trailers[key]) for key in ("Foundry-Number", "Generation", "Seed"))
        operator = trailers["Operator"]
    except (KeyError, ValueError):
        return None
    variant = trailers.get("Variant", "")
    return Candidate(
        number=number,
        generation=generation,
        commit=commit,
        tree=tree,
        parents=parents,
        name=candidate_name(number=number, generation=generation, operator=operator, variant=variant),
        words=words,
        operator=operator,
        variant=variant,
        site=trailers.get("Site", ""),
        seed=seed,
    )
