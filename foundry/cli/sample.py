"""`foundry sample WHAT`: let a trained model write, token by token."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from foundry.cli.edge import guarded
from foundry.cli.pool_options import whole_number
from foundry.cli.run import LEDGER, Plan, plan_of
from foundry.cli.show import find_candidate
from foundry.data import dataset
from foundry.data.conversations.chat import Dialogue
from foundry.data.conversations.settings import FORMATS
from foundry.data.dataset import Dataset
from foundry.data.tokenizer import whole
from foundry.decoding.kinds import EXACT, KINDS
from foundry.errors import UserError
from foundry.registry import module_names
from foundry.training.experiment import Experiment, parse
from foundry.trial.job import Job
from genome import Arena
from population.ledger import Ledger
from population.replay import replay

if TYPE_CHECKING:
    from torch import nn

    from foundry.decoding.decoder import Decoder

Report = Callable[[int, int], None]  # updates done, all updates


def main(argv: Sequence[str] | None = None) -> int:
    """Stream text to the terminal; return 0, or 2 for a mistake."""
    parser = argparse.ArgumentParser(prog="foundry sample", description="Let a trained model write.")
    parser.add_argument(
        "what",
        help="a folder that `foundry train` wrote, such as runs/train/baseline, or a candidate: "
        "`champion`, its number, its name or a beginning of the name",
    )
    parser.add_argument("--arena", default="runs/evolve", help="of the candidate (default: runs/evolve)")
    parser.add_argument("--checkpoint", choices=("best", "latest"), default="best", help="default: best")
    prompt = parser.add_mutually_exclusive_group()
    prompt.add_argument(
        "--prompt", metavar="TEXT", help="text to go on from (default: a new line), or all that is said to it"
    )
    prompt.add_argument("--prompt-file", metavar="FILE", help="file with the text to go on from")
    add = parser.add_argument
    add("--tokens", type=whole_number, default=500, metavar="N", help="how many to write (default: 500)")
    add("--samples", type=whole_number, default=1, metavar="N", help="texts to write (default: 1)")
    add(
        "--temperature",
        type=_temperature,
        default=0.8,
        metavar="X",
        help="default: 0.8; 0 is the likeliest token",
    )
    add("--top-k", type=whole_number, metavar="N", help="draw from the N likeliest tokens")
    add(
        "--top-p", type=_probability, metavar="P", help="draw from the likeliest tokens that together reach P"
    )
    add("--seed", type=int, default=0, metavar="N", help="default: 0")
    add("--chat", action="store_true", help="talk with a model: each line is said to it, until an empty one")
    add("--format", metavar="NAME", help=f"of the conversation: {' '.join(module_names(FORMATS))}")
    add("--system", default="", metavar="TEXT", help="what a conversation begins with")
    cache = parser.add_mutually_exclusive_group()
    cache.add_argument(
        "--kv-cache",
        choices=KINDS,
        help="how to keep keys and values (default: as the experiment says)",
    )
    cache.add_argument(
        "--no-cache", action="store_true", help="compute the whole context again for every token"
    )
    add("--threads", type=whole_number, metavar="N", help="of torch (default: one per core)")
    add("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(argv)
    return guarded(lambda: _sample(options), name="foundry sample", debug=options.debug)


def _sample(options: argparse.Namespace) -> int:
    trained = find(options.what, arena=options.arena, checkpoint=options.checkpoint)
    options.kv_cache = options.kv_cache or trained.experiment.decoding.kv_cache
    if options.chat:
        return _chat(trained, options)
    prompt = _prompt(options)
    try:
        ids = whole(prompt, trained.dataset.tokenizer)
    except UserError as error:
        raise UserError(f"the prompt does not fit {trained.name}: {error}") from None

    import torch

    from foundry.decoding.sampling import Sampling, generate, generators
    from foundry.decoding.writing import write

    torch.set_num_threads(options.threads or os.cpu_count() or 1)
    decoder = _decoder(trained, options, len(ids))
    rows, block_size = options.samples, trained.experiment.block_size
    tokens = generate(
        decoder,
        torch.from_numpy(ids.astype("int64")).expand(rows, -1),
        options.tokens,
        Sampling(temperature=options.temperature, top_k=options.top_k, top_p=options.top_p),
        generators(options.seed, rows),
        block_size=block_size,
    )
    print(prompt, end="", flush=True)
    written = write(
        tokens, decoder, trained.dataset.decode, lambda text: print(text, end="", flush=True), rows=rows
    )
    print()
    for text in written.texts[1:]:
        print(f"{'-' * 20}\n{prompt}{text}")
    sys.stdout.flush()
    name = "KV cache" if options.kv_cache == EXACT else f"{options.kv_cache} KV cache"
    cache = (
        f"{name}: {written.bytes_per_token:,} bytes per token" if written.bytes_per_token else "no KV cache"
    )
    speed = written.tokens / written.seconds
    print(f"{written.tokens:,} tokens, {speed:,.0f} tok/s ({cache})", file=sys.stderr)
    return 0


def _chat(trained: Trained, options: argparse.Namespace) -> int:
    """Answer one prompt, or the lines of the terminal."""
    conversations = trained.experiment.data.conversations
    form = options.format or (conversations.format if conversations is not None else None)
    if form is None:
        raise UserError(f"{trained.name} was not trained on conversations: say which --format it knows")

    import torch

    from foundry.cli.chat import Chat, talk
    from foundry.decoding.sampling import Sampling

    torch.set_num_threads(options.threads or os.cpu_count() or 1)
    tokenizer, block_size = trained.dataset.tokenizer, trained.experiment.block_size
    dialogue = Dialogue(form, tokenizer, options.system)
    chat = Chat(
        _decoder(trained, options, block_size),
        tokenizer,
        Sampling(temperature=options.temperature, top_k=options.top_k, top_p=options.top_p),
        block_size=block_size,
        tokens=options.tokens,
        seed=options.seed,
    )
    asked = options.prompt is None and options.prompt_file is None
    lines = sys.stdin if asked else [_prompt(options)]
    talk(chat, dialogue, lines, ask=asked and sys.stdin.isatty())
    return 0


def _decoder(trained: Trained, options: argparse.Namespace, prompt_length: int) -> Decoder:
    from foundry.decoding.decoder import Decoder, best_decoder

    model = trained.model(_report(trained.name))
    if options.no_cache:
        return Decoder(model)
    length = min(trained.experiment.block_size, prompt_length + options.tokens)
    decoder = best_decoder(
        model,
        vocab_size=trained.dataset.vocab_size,
        length=length,
        rows=options.samples,
        kind=options.kv_cache,
    )
    if decoder.reason:
        print(f"this model cannot use a KV cache, so it is slow: {decoder.reason}", file=sys.stderr)
    return decoder


@dataclass(frozen=True)
class Trained:
    """A model that can be had: `model` reads its weights, or trains it again and reports how far it is."""

    name: str
    experiment: Experiment
    dataset: Dataset
    model: Callable[[Report], nn.Module]


def find(what: str, *, arena: str, checkpoint: str) -> Trained:
    """Find a trained model: a folder of `foundry train` or, in an arena, a candidate. Does not import torch.

    Raises:
        UserError: there is no such thing, or it has no weights.
    """
    if (folder := Path(what)).is_dir():
        return _of_folder(folder, checkpoint)
    if "/" in what and not what.startswith("candidate/"):
        raise UserError(f"there is no folder {what}")
    if not Path(arena, ".git").exists():
        raise UserError(f"there is no folder {what}, and {arena} is no arena with a candidate of that name")
    return _of_candidate(what, arena)


def _of_folder(folder: Path, which: str) -> Trained:
    if not (folder / "experiment.yaml").is_file() or not (folder / "model.py").is_file():
        raise UserError(f"{folder} holds no training: `foundry train` makes folders that do")
    path = folder / f"{which}.safetensors"
    if not path.is_file():
        raise UserError(f"{folder} has no {path.name} yet: the first evaluation writes it")
    source = (folder / "model.py").read_text("utf-8")
    experiment = parse((folder / "experiment.yaml").read_text("utf-8"), str(folder / "experiment.yaml"))
    data = dataset.load(experiment.data)

    def model(_: Report) -> nn.Module:
        from foundry.decoding.trained import from_checkpoint

        return from_checkpoint(path, source, experiment, data)

    return Trained(str(folder), experiment, data, model)


def _of_candidate(wanted: str, path: str) -> Trained:
    with Arena.open(path) as arena:
        candidate = find_candidate(arena, wanted)
        note = arena.notes().get(candidate.commit, {})
        if gate := note.get("rejected"):
            raise UserError(f"{candidate.name} was never trained: rejected by {gate}, {note['reason']}")
        with Ledger.read(arena.state / LEDGER) as ledger:
            plan = plan_of(ledger)
            until = replay(plan.search, plan.menu, ledger).archive.spending.until(plan.search.top)
            job = _full_training(arena.files(candidate), plan, until)
        state = arena.state
    experiment = parse(job.experiment)
    data = dataset.load(experiment.data)
    if dataset.unselected(experiment.data).sha256 != job.data:
        raise UserError(f"data {data.name!r} is not what it was when the run began: put it back")

    def model(report: Report) -> nn.Module:
        from foundry.decoding.trained import from_trial

        return from_trial(
            job,
            data,
            checkpoints=state / "checkpoints" / job.training_key,
            kept=state / "weights" / f"{job.training_key}.safetensors",
            report=report,
        )

    return Trained(candidate.name, experiment, data, model)


def _full_training(files: dict[str, str], plan: Plan, until: tuple[int, int, str]) -> Job:
    """Return the training that the search gives a candidate at the top of the ladder."""
    return Job(
        model=files["model.py"],
        experiment=files["experiment.yaml"],
        data=plan.data,
        seed=plan.search.seed,
        until=until[0],
        budget=until[1],
        unit=until[2],
    )


def _report(name: str) -> Report:
    """Keep a line about the training on the terminal; write one at its start where there is none."""

    def report(done: int, total: int) -> None:
        line = f"training {name} as its trial did, for its weights were not kept"
        if sys.stderr.isatty():
            print(f"\r{line}: {done}/{total}", end="\n" if done == total else "", file=sys.stderr, flush=True)
        elif done == 1:
            print(f"{line}: {total} updates", file=sys.stderr)

    return report


def _prompt(options: argparse.Namespace) -> str:
    if options.prompt_file is None:
        prompt: str = "\n" if options.prompt is None else options.prompt
    else:
        try:
            prompt = Path(options.prompt_file).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"prompt file {options.prompt_file!r} cannot be read: {error}") from None
    if not prompt:
        raise UserError("the prompt is empty: a model needs something to go on from")
    return prompt


def _temperature(text: str) -> float:
    if not 0 <= (number := _number(text)) < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 0")
    return number


def _probability(text: str) -> float:
    if not 0 < (number := _number(text)) <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a probability above 0")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
