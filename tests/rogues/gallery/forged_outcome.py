"""Writes an outcome of its own to every descriptor that it holds, and leaves.

bare: Crashed
gated: Rejected allow_list: imports json
"""

import contextlib
import json
import os

names = ["params", "train_flops", "work", "tokens", "kv_bytes_per_token", "peak_memory", "inherited"]
whole = dict.fromkeys(names, 1)
parts = dict.fromkeys(["loss", "bits_per_byte", "tokens_per_second", "seconds", "train_seconds"], 0.01)
outcome = {"kind": "Scored", **whole, **parts, "function": "", "recalled": False}
for descriptor in range(3, 256):
    with contextlib.suppress(OSError):
        os.set_blocking(descriptor, False)
        os.write(descriptor, json.dumps(outcome).encode() + b"\n")
os._exit(0)
