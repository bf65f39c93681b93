"""A run's champion beside nanoGPT: its loss after a tenth of nanoGPT's time, and after all of it.

    python evolve.py --dataset ~/nanoGPT/data/shakespeare_char/input.txt --budget 60m
    python benchmarks/headline.py --nanogpt ~/nanoGPT --text ~/nanoGPT/data/shakespeare_char/input.txt

Per seed, one thread each, in turns: nanoGPT's own train.py at its CPU recipe; then the champion from scratch
on nanoGPT's split, with as many updates as fit into 8.5% of nanoGPT's time, and into 95%. Losses are in nats
per character, whatever the champion's tokens are, over the whole validation split, which the search never
saw: it is the test split of the search.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import nanogpt
import yaml

from foundry.training import experiment

SHARES = {"short": 0.085, "long": 0.95}  # of nanoGPT's time in updates
CALIBRATION = 60  # updates


def main() -> None:
    """Train in turns and print."""
    parser = argparse.ArgumentParser(description="A run's champion beside nanoGPT.")
    parser.add_argument("--arena", default="runs/evolve")
    parser.add_argument("--candidate", default="champion", help="a branch of the arena (default: champion)")
    parser.add_argument("--nanogpt", required=True, type=Path, help="a checkout of nanoGPT")
    parser.add_argument("--text", required=True, type=Path, help="its text")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    options.recipe, options.updates = "cpu", None
    rows: dict[str, list[nanogpt.Measured]] = {"nanoGPT": [], **{name: [] for name in SHARES}}
    with tempfile.TemporaryDirectory() as folder:
        data = nanogpt.prepare(options.nanogpt, options.text, Path(folder))
        path = exported(options, Path(folder))
        speed = champion(options, path, CALIBRATION, 0, Path(folder)).tokens_per_second
        per_step = experiment.parse(path.read_text()).tokens_per_step
        for seed in range(options.seeds):
            rows["nanoGPT"].append(nanogpt.theirs(options, data, Path(folder), seed))
            for name, share in SHARES.items():
                steps = int(share * rows["nanoGPT"][-1].train_seconds * speed / per_step)
                rows[name].append(champion(options, path, steps, seed, Path(folder)))
                speed = rows[name][-1].tokens_per_second
            for name, measured in rows.items():
                print(f"seed {seed}  {name:<10} {measured[-1]}", flush=True)
    nanogpt.report(rows)


def exported(options: argparse.Namespace, folder: Path) -> Path:
    """Write a candidate's two files; return the experiment, which names the model by its path."""
    texts = {
        name: subprocess.run(
            ["git", "-C", options.arena, "show", f"{options.candidate}:{name}"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for name in ("model.py", "experiment.yaml")
    }
    (folder / "champion.py").write_text(texts["model.py"])
    body = yaml.safe_load(texts["experiment.yaml"])
    body |= {"name": "champion", "base_model": str(folder / "champion.py")}
    body["data"] = {**body["data"], "dataset": str(options.text.resolve()), "split": "nanogpt"}
    path = folder / "champion.yaml"
    path.write_text(yaml.safe_dump(body, sort_keys=False))
    return path


def champion(
    options: argparse.Namespace, path: Path, steps: int, seed: int, folder: Path
) -> nanogpt.Measured:
    """Train the champion from scratch for so many updates."""
    out = folder / f"champion-{seed}-{steps}"
    settings = [f"training.max_iters={steps}", "training.eval_interval=1000000"]
    command = [sys.executable, "-m", "foundry.train", str(path), *settings]
    _, wall, memory = nanogpt.timed(
        [*command, "--threads", "1", "--seed", str(seed), "--out", str(out)], nanogpt.ROOT
    )
    line = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
    return nanogpt.Measured(
        loss=line["bits_per_byte"] * math.log(2) * bytes_per_character(options.text),
        tokens_per_second=line["tokens_per_second"],
        train_seconds=line["tokens"] / line["tokens_per_second"],
        wall_seconds=wall,
        memory=memory,
    )


def bytes_per_character(path: Path) -> float:
    """Return how many bytes of UTF-8 a character of the text takes."""
    return path.stat().st_size / len(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
