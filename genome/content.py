"""Read what commits hold, with one short-lived process a question."""

from collections.abc import Sequence

from genome.candidate import FILES, Candidate
from genome.command import Git
from genome.failures import ArenaError
from genome.message import read_candidate


def read_blobs(git: Git, names: Sequence[str], *, errors: str = "strict") -> list[str]:
    """Return the texts of objects, each named by its id or as `commit:path`, byte for byte."""
    output = git.run("cat-file", "--batch", stdin="".join(f"{name}\n" for name in names).encode())
    texts, position = [], 0
    for name in names:
        end = output.index(b"\n", position)
        header = output[position:end].split()
        if header[-1] == b"missing":
            raise ArenaError(f"{git.place} has no {name}: name a candidate, or run git fsck there")
        size = int(header[-1])
        texts.append(_text(output[end + 1 : end + 1 + size], name, errors))
        position = end + 1 + size + 1
    return texts


def _text(content: bytes, name: str, errors: str) -> str:
    try:
        return content.decode(errors=errors)
    except UnicodeDecodeError as error:
        raise ArenaError(f"{name} is not UTF-8 text: it is no candidate that Foundry made") from error


def read_files(git: Git, commit: str) -> dict[str, str]:
    """Return the two files of a candidate: name to text."""
    return dict(zip(FILES, read_blobs(git, [f"{commit}:{name}" for name in FILES]), strict=True))


def read_lineage(git: Git, commit: str) -> list[Candidate]:
    """Follow first parents back to the seed model; the seed model comes first."""
    return [candidate for candidate in reversed(_read_commits(git, "--first-parent", commit)) if candidate]


def read_commit(git: Git, commit: str) -> Candidate | None:
    """Return the candidate that a commit is, whether a ref leads to it or not; None where it is none."""
    return _read_commits(git, "--max-count=1", commit)[0]


def _read_commits(git: Git, *arguments: str) -> list[Candidate | None]:
    output = git.run("rev-list", "--format=%H%x00%T%x00%P%x00%B%x00", *arguments)
    fields = iter(output.decode(errors="surrogateescape").split("\0"))
    return [
        read_candidate(
            commit=heading.rpartition("\n")[2], tree=tree, parents=tuple(parents.split()), message=message
        )
        for heading, tree, parents, message in zip(*[fields] * 4, strict=False)
    ]


def read_diff(git: Git, old: str, new: str) -> str:
    """Return the unified diff of two candidates' files, '' where they are the same."""
    options = ("-p", "--no-color", "--no-ext-diff", "--no-textconv", "--text", "--abbrev=7")
    return git.run("diff-tree", *options, "--src-prefix=a/", "--dst-prefix=b/", old, new).decode(
        errors="replace"
    )
