"""`foundry data prepare TEXT` and `foundry data show FOLDER`: tokens in files, made once for many runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from foundry.cli.edge import guarded
from foundry.data.manifest import Manifest, read_manifest, verify
from foundry.data.prepare import prepare
from foundry.data.selection import DEDUPES, FILTERS
from foundry.data.settings import Data
from foundry.data.splits import SCHEMES
from foundry.data.texts import is_prepared
from foundry.errors import UserError
from foundry.registry import module_names


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare or show data; return 0, 130 after Ctrl-C, 2 for a mistake."""
    options = _parser().parse_args(argv)
    return guarded(lambda: int(options.run(options) or 0), name="foundry data", debug=options.debug)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="foundry data", description="Turn text into files of tokens, or look at such."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    making = commands.add_parser("prepare", help="write a folder that an experiment can name as data.dataset")
    making.add_argument(
        "text",
        help="shakespeare_char, a UTF-8 file, a .jsonl file with a `text` on each line, or a folder of such; "
        "files may be larger than memory",
    )
    making.add_argument("--out", type=Path, metavar="DIR", help="default: data/TEXT_TOKENIZER")
    making.add_argument("--tokenizer", metavar="NAME", help=" ".join(module_names("foundry/data/tokenizers")))
    making.add_argument("--vocab-size", type=int, metavar="N", help="of tokenizer bpe (default: 2048)")
    making.add_argument(
        "--vocabulary", metavar="TEXT|DIR", help="text, or prepared data, whose vocabulary to use"
    )
    making.add_argument("--split", default="standard", metavar="NAME", help=" ".join(SCHEMES))
    making.add_argument(
        "--filter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of training text: " + " ".join(module_names(FILTERS)),
    )
    making.add_argument("--dedupe", default="none", metavar="NAME", help=" ".join(module_names(DEDUPES)))
    making.set_defaults(run=_prepare)

    showing = commands.add_parser("show", help="say what a folder of prepared data holds")
    showing.add_argument("folder")
    showing.add_argument("--check", action="store_true", help="read all of it and compare the hashes")
    showing.set_defaults(run=_show)

    for command in (making, showing):
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _prepare(options: argparse.Namespace) -> None:
    data = Data(
        dataset=options.text,
        split=options.split,
        tokenizer=options.tokenizer,
        vocab_size=options.vocab_size,
        vocabulary=options.vocabulary,
        filters=tuple(options.filter),
        dedupe=options.dedupe,
    )
    out = options.out or Path("data", f"{Path(options.text).stem}_{options.tokenizer or 'char'}")
    prepare(data, out, print)
    print(f"in an experiment: data: {{dataset: {out}}}")


def _show(options: argparse.Namespace) -> None:
    if not is_prepared(options.folder):
        raise UserError(f"{options.folder} holds no prepared data: foundry data prepare makes it")
    manifest = read_manifest(options.folder)
    if options.check:
        verify(options.folder)
    for line in _description(manifest):
        print(line)
    if options.check:
        print("all files are as they were written")


def _description(manifest: Manifest) -> list[str]:
    lines = [
        f"text        {manifest.name}, {manifest.characters:,} characters, sha256 {manifest.text_sha256}",
        f"data        sha256 {manifest.sha256}",
        f"tokenizer   {manifest.tokenizer_name}, {manifest.vocab_size:,} tokens",
        f"split       {manifest.split}",
    ]
    if manifest.filters or manifest.dedupe != "none":
        lines.append(f"training    {' '.join((*manifest.filters, f'dedupe={manifest.dedupe}'))}")
    lines += [
        f"{split:<12}{part.tokens:>15,} tokens of {part.bytes_per_token:.3f} bytes, {part.file}"
        for split, part in manifest.splits.items()
    ]
    return lines
