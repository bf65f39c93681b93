"""OpenEvolve's own command, with a stand-in for its language model that hands out the candidates in order.

The stand-in speaks the chat-completions API on the loopback: the first request gets the first candidate, as
a full rewrite. The evaluation file does what research.py does, in OpenEvolve's worker, which is its default,
or in a process of its own with a time limit, as some of its examples do (`evaluation: subprocess`).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from benchmarks.faults.task import Task, answer

ROOT = Path(__file__).parents[2]
_CANDIDATE = re.compile(r"^# candidate: (\w+)$", re.MULTILINE)

EVALUATION = """\
import json, math, os, subprocess, sys
from pathlib import Path

sys.path.insert(0, {root!r})


def evaluate(program_path):
    try:
        loss = {call}
    except Exception as error:
        print(f"evaluation failed: {{error}}")
        return {{"combined_score": 0.0}}
    return {{"combined_score": math.exp(-loss), "loss": loss}}


def in_process(program_path):
    from benchmarks.faults.research import evaluate
    return evaluate(Path(program_path).read_text("utf-8"), Path({text!r}), {steps})


def in_subprocess(program_path):
    code = "import sys; from pathlib import Path; from benchmarks.faults.research import evaluate; "
    code += "loss = evaluate(Path(sys.argv[1]).read_text(), Path({text!r}), {steps}); "
    code += "Path(sys.argv[2]).write_text(repr(loss))"
    result = program_path + ".result"
    command = [sys.executable, "-c", code, program_path, result]
    done = subprocess.run(command, cwd={root!r}, capture_output=True, text=True, timeout={limit})
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr else str(done.returncode))
    loss = float(Path(result).read_text())
    os.unlink(result)
    return loss
"""

CONFIG = """\
max_iterations: {iterations}
checkpoint_interval: 1
random_seed: 42
language: python
diff_based_evolution: false
max_code_length: 100000
llm:
  api_base: http://127.0.0.1:{port}/v1
  api_key: none
  models:
    - name: stand-in
      weight: 1.0
database:
  num_islands: 1
  population_size: 100
evaluator:
  timeout: {seconds}
  parallel_evaluations: {workers}
  cascade_evaluation: false
"""


class StandIn(ThreadingHTTPServer):
    """Hands out programs, one a request."""

    daemon_threads = True

    def __init__(self, programs: Sequence[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._programs = list(programs)
        self._lock = threading.Lock()
        self._next = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def program(self) -> str:
        """Return the next program; the last again when there are no more."""
        with self._lock:
            chosen = self._programs[min(self._next, len(self._programs) - 1)]
            self._next += 1
        return chosen


class _Handler(BaseHTTPRequestHandler):
    server: StandIn

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        content = f"```python\n{self.server.program()}\n```"
        message = {"role": "assistant", "content": content}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        body: dict[str, Any] = {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": "stand-in",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": usage,
        }
        encoded = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


def main(path: str) -> int:
    """Run OpenEvolve on a task, or take it up from its last checkpoint, and write down what it has found."""
    task = Task.read(path)
    folder = Path(task.folder)
    first, *others = task.sources.values()
    (folder / "initial.py").write_text(first, encoding="utf-8")
    apart = task.options.get("evaluation") == "subprocess"
    text = EVALUATION.format(
        root=str(ROOT),
        call=f"in_{'subprocess' if apart else 'process'}(program_path)",
        text=task.text,
        steps=task.steps,
        limit=task.seconds,
    )
    (folder / "evaluation.py").write_text(text, encoding="utf-8")
    taken_up = latest(folder)
    known = programs(folder)
    left = [source for source in others if _name(source) not in known]
    server = StandIn(left)
    config = CONFIG.format(
        iterations=len(left),
        port=server.server_port,
        seconds=int(task.seconds) + 5 * apart,  # the process has its own limit, which comes first
        workers=task.workers,
    )
    (folder / "config.yaml").write_text(config, encoding="utf-8")
    command = [task.options["python"], "-m", "openevolve.cli", "initial.py", "evaluation.py"]
    command += ["--config", "config.yaml", "--output", "output", "--iterations", str(len(left))]
    command += ["--checkpoint", str(taken_up)] if taken_up else []
    environment = {**os.environ, "OPENAI_API_KEY": "none", "NO_PROXY": "127.0.0.1", "OMP_NUM_THREADS": "1"}
    code = subprocess.run(command, cwd=folder, env=environment, check=False).returncode
    _write_answers(task)
    return code


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints that are whole, oldest first; iterations do not end in order."""
    found = folder.glob("output/checkpoints/checkpoint_*/metadata.json")
    return [path.parent for path in sorted(found, key=lambda path: path.stat().st_mtime_ns)]


def latest(folder: Path) -> Path | None:
    """Return the checkpoint that a person would go on from."""
    found = checkpoints(folder)
    return found[-1] if found else None


def programs(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the metrics of every candidate that some checkpoint holds, by name.

    The last one lacks those whose cell of the map somebody better has taken.
    """
    files = [path for held in checkpoints(folder) for path in sorted(held.glob("programs/*.json"))]
    bodies = [json.loads(path.read_text("utf-8")) for path in files]
    return {_name(body["code"]): body["metrics"] for body in bodies}


def _best(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the winner, which is on disk even where no iteration has got as far as a checkpoint."""
    best = folder / "output" / "best"
    if not (best / "best_program.py").exists():
        return {}
    info = json.loads((best / "best_program_info.json").read_text("utf-8"))
    return {_name((best / "best_program.py").read_text("utf-8")): info["metrics"]}


def _name(source: str) -> str:
    named = _CANDIDATE.search(source)
    assert named, source[:100]
    return named[1]


def _write_answers(task: Task) -> None:
    found = {**_best(Path(task.folder)), **programs(Path(task.folder))}
    scores = {name: metrics["loss"] for name, metrics in found.items() if "loss" in metrics}
    said = {
        name: "timeout" if metrics.get("timeout") else "error"
        for name, metrics in found.items()
        if name not in scores
    }
    answer(task, scores, said)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
