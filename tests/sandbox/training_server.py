"""Train a small model at several levels, each in a child, with torch preloaded, and say how it went, as JSON.

Arguments: a folder for checkpoints; levels.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from foundry.sandbox import confine, family
from foundry.sandbox.rlimits import Amounts

CHECKPOINTS = Path(sys.argv[1])
CODE = [Path(path) for path in (sys.prefix, sys.base_prefix, *sys.path, "/usr/lib", "/lib", "/lib64") if path]


def train(threads: int) -> dict[str, object]:
    import torch
    from safetensors.torch import load_file, save_file

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = torch.nn.TransformerEncoderLayer(64, 4, 128, batch_first=True, dropout=0.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, fused=True)
    batch = torch.randn(8, 32, 64)
    losses = []
    for _ in range(4):
        loss = torch.nn.functional.mse_loss(model(batch), batch.roll(1, 1))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    part, whole = CHECKPOINTS / "part.safetensors", CHECKPOINTS / "whole.safetensors"
    save_file(dict(model.state_dict()), part)
    part.replace(whole)
    return {"losses": losses, "saved": len(load_file(whole)), "import": __import__("colorsys").ONE_THIRD}


def child(level: str, threads: int, writer: int) -> None:
    said: dict[str, object] = {}
    try:
        amounts = Amounts(cpu_seconds=60, data=4 << 30, file_size=1 << 24, open_files=256)
        confine.confine(level, readable=CODE, writable=[CHECKPOINTS], amounts=amounts, keep=(0, 1, 2, writer))
        said = train(threads)
    except BaseException as error:
        said["error"] = repr(error)
    os.write(writer, json.dumps(said).encode())


def main() -> None:
    family.prepare()
    import torch._dynamo

    torch.set_num_interop_threads(1)
    answers = []
    for level in sys.argv[2:]:
        for threads in (1, 2):
            reader, writer = os.pipe()
            pid = family.fork_apart()
            if pid == 0:
                try:
                    child(level, threads, writer)
                finally:
                    os._exit(0)
            os.close(writer)
            with open(reader) as answer:
                answers.append(json.loads(answer.read() or "null"))
            os.waitpid(pid, 0)
    print(json.dumps(answers))


main()
