"""nanoGPT's own train.py beside `foundry train`: tokens per second, loss over the whole split, peak memory.

    python benchmarks/nanogpt.py --nanogpt ~/nanoGPT --text ~/nanoGPT/data/shakespeare_char/input.txt

Takes a checkout of nanoGPT and its text. The two train in turns, one thread each, the same tokens; the last
lines compare them. `--recipe wide` is 6 layers of 384, block 256, batch 16; `--experiments baseline fast`
sets others beside nanoGPT's CPU recipe, each of its own length: what matters then is the time to its loss.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from foundry.data import dataset
from foundry.data.settings import Data
from foundry.seed import read_model
from foundry.source import build_model, load_module
from foundry.training import score

ROOT = Path(__file__).parents[1]
RECIPES = {
    "cpu": {"n_layer": 4, "n_head": 4, "n_embd": 128, "block_size": 64, "batch_size": 12, "max_iters": 2000},
    "wide": {"n_layer": 6, "n_head": 6, "n_embd": 384, "block_size": 256, "batch_size": 16, "max_iters": 30},
}
MODEL = ("n_layer", "n_head", "n_embd", "block_size")


@dataclass(frozen=True)
class Measured:
    """One training; seconds are those of its updates, without start-up and evaluation."""

    loss: float  # nats per token over the whole validation split
    tokens_per_second: float
    train_seconds: float
    wall_seconds: float  # of the whole process
    memory: float  # MiB, resident at its peak


def main() -> None:
    """Train in turns and print."""
    parser = argparse.ArgumentParser(description="nanoGPT's train.py beside foundry train.")
    parser.add_argument("--nanogpt", required=True, type=Path, help="a checkout of nanoGPT")
    parser.add_argument("--text", required=True, type=Path, help="its text")
    parser.add_argument("--recipe", choices=RECIPES, default="cpu")
    parser.add_argument(
        "--experiments",
        nargs="+",
        default=["baseline"],
        help="of experiments/, each of its own size and length; with settings, as in "
        "baseline:training.dtype=bfloat16,training.compile=true (nanoGPT's is float32)",
    )
    parser.add_argument("--updates", type=int, help="of the recipe, instead of its own number")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    rows: dict[str, list[Measured]] = {name: [] for name in ("nanoGPT", *options.experiments)}
    with tempfile.TemporaryDirectory() as folder:
        data = prepare(options.nanogpt, options.text, Path(folder))
        for seed in range(options.seeds):
            rows["nanoGPT"].append(theirs(options, data, Path(folder), seed))
            for name in options.experiments:
                rows[name].append(ours(options, name, Path(folder), seed))
            for name, measured in rows.items():
                print(f"seed {seed}  {name:<10} {measured[-1]}", flush=True)
    report(rows)


def recipe_of(options: argparse.Namespace) -> dict[str, int]:
    """Return the recipe's sizes, with as many updates as are asked for."""
    recipe = RECIPES[options.recipe]
    return {**recipe, "max_iters": options.updates or recipe["max_iters"]}


def prepare(nanogpt: Path, text: Path, folder: Path) -> dataset.Dataset:
    """Lay out a working folder for train.py, with the text as its prepare.py writes it."""
    data = dataset.load(Data(dataset=str(text.resolve()), split="nanogpt"))
    target = folder / "data" / "shakespeare_char"
    target.mkdir(parents=True)
    for name, split in (("train", "train"), ("val", "val_search")):
        np.asarray(data.splits[split].tokens).astype(np.uint16).tofile(target / f"{name}.bin")
    for name in ("model.py", "configurator.py"):
        (folder / name).symlink_to((nanogpt / name).resolve())
    return data


def theirs(options: argparse.Namespace, data: dataset.Dataset, folder: Path, seed: int) -> Measured:
    """Run nanoGPT's train.py unchanged but for its seed; load what it saved into v1 to score it."""
    recipe = recipe_of(options)
    script = (options.nanogpt / "train.py").read_text("utf-8")
    assert "1337 + seed_offset" in script, "this train.py sets its seed in another way"
    (folder / "train.py").write_text(script.replace("1337 + seed_offset", f"{1337 + seed} + seed_offset"))
    steps = recipe["max_iters"]
    settings = {
        **recipe,
        "out_dir": str(folder / "out"),
        "dataset": "shakespeare_char",
        "device": "cpu",
        "compile": False,
        "dropout": 0.0,
        "gradient_accumulation_steps": 1,
        "learning_rate": 1e-3,
        "min_lr": 1e-4,
        "lr_decay_iters": steps,
        "warmup_iters": min(100, steps // 2),
        "beta2": 0.99,
        "eval_interval": steps,
        "eval_iters": 1,
        "log_interval": 1,
        "always_save_checkpoint": True,
    }
    write_meta(folder, data)
    output, wall, memory = timed(
        [sys.executable, "train.py", *(f"--{name}={value}" for name, value in settings.items())], folder
    )
    times = [float(ms) / 1000 for ms in re.findall(r"time ([\d.]+)ms", output)][1:-1]  # without evaluations
    tokens = recipe["batch_size"] * recipe["block_size"]
    saved = torch.load(folder / "out" / "ckpt.pt", weights_only=True)
    args = {name: recipe[name] for name in MODEL}
    model = build_model(load_module(read_model("v1")), {**args, "bias": False, "vocab_size": data.vocab_size})
    model.load_state_dict(saved["model"])
    return Measured(
        loss=loss_of(model, data, recipe["block_size"]),
        tokens_per_second=tokens / statistics.fmean(times),
        train_seconds=sum(times),
        wall_seconds=wall,
        memory=memory,
    )


def write_meta(folder: Path, data: dataset.Dataset) -> None:
    """Tell train.py the size of the vocabulary, in the pickle that it reads."""
    import pickle

    with (folder / "data" / "shakespeare_char" / "meta.pkl").open("wb") as file:
        pickle.dump({"vocab_size": data.vocab_size}, file)


def loss_of(model: torch.nn.Module, data: dataset.Dataset, block_size: int) -> float:
    """Score over the whole validation split, as every training of ours is scored."""
    tokens = data.splits["val_search"].tokens
    return score.cross_entropy(model, tokens, block_size=block_size)


def ours(options: argparse.Namespace, name: str, folder: Path, seed: int) -> Measured:
    """Run `foundry train` on the same text."""
    name, _, changes = name.partition(":")
    out = Path(tempfile.mkdtemp(dir=folder))
    settings = [f"data.dataset={options.text.resolve()}", "data.split=nanogpt"]
    if name == "baseline":
        recipe = recipe_of(options)
        steps = recipe["max_iters"]
        settings += [f"model_args.{name}={recipe[name]}" for name in MODEL]
        settings += [f"training.{name}={recipe[name]}" for name in ("batch_size", "max_iters")]
        settings += [f"training.{name}={steps}" for name in ("eval_interval", "lr_decay_iters")]
        settings += [f"training.warmup_iters={min(100, steps // 2)}"]
    else:
        settings += ["training.eval_interval=1000000"]
    settings += changes.split(",") if changes else []
    experiment = ROOT / "experiments" / f"{name}.yaml"
    command = [sys.executable, "-m", "foundry.train", str(experiment), *settings]
    _, wall, memory = timed([*command, "--threads", "1", "--seed", str(seed), "--out", str(out)], ROOT)
    line = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
    return Measured(
        loss=line["val_loss"],
        tokens_per_second=line["tokens_per_second"],
        train_seconds=line["tokens"] / line["tokens_per_second"],
        wall_seconds=wall,
        memory=memory,
    )


def timed(command: list[str], folder: Path) -> tuple[str, float, float]:
    """Run a command on one thread; return what it printed, its seconds and its peak memory in MiB."""
    started = time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        output.seek(0)
        text = output.read().decode(errors="replace")
    if status:
        sys.exit(f"{command[1:3]} failed:\n{text[-2000:]}")
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return text, wall, usage.ru_maxrss / unit


def report(rows: dict[str, list[Measured]]) -> None:
    """Print medians and their ratios; of losses the mean and the standard deviation."""
    for name, measured in rows.items():
        losses = [m.loss for m in measured]
        spread = statistics.stdev(losses) if len(losses) > 1 else float("nan")
        print(
            f"{name:<10} loss {statistics.fmean(losses):.4f} ± {spread:.4f}   "
            f"{median(measured, 'tokens_per_second'):,.0f} tok/s   "
            f"training {median(measured, 'train_seconds'):.1f} s   "
            f"whole {median(measured, 'wall_seconds'):.1f} s   {median(measured, 'memory'):.0f} MiB"
        )
    first, *others = rows
    for name in others:
        for field in ("tokens_per_second", "train_seconds", "wall_seconds", "memory"):
            pairs = zip(rows[first], rows[name], strict=True)
            ratio = statistics.median(getattr(y, field) / getattr(x, field) for x, y in pairs)
            print(f"{name:<10} {field}: {ratio:.2f} of {first}'s")


def median(measured: list[Measured], field: str) -> float:
    """Return the median of one figure."""
    return statistics.median(getattr(m, field) for m in measured)


if __name__ == "__main__":
    main()
