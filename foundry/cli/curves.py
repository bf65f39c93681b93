"""Learning curves as a picture: loss over training tokens, each seed faint and their mean in front."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from foundry.cli.paired import SPLIT, Outcomes, Side
from foundry.errors import UserError
from foundry.trial.outcome import Scored

POINTS = 8  # of a curve
_SUFFIXES = (".svg", ".png")


@dataclass(frozen=True)
class Curve:
    """The losses of one experiment along its trainings."""

    name: str
    tokens: tuple[int, ...]
    losses: tuple[tuple[float, ...], ...]  # by seed, then by position in `tokens`; nats per token

    @property
    def means(self) -> list[float]:
        """Mean losses over the seeds."""
        return [math.fsum(column) / len(column) for column in zip(*self.losses, strict=True)]


def curve(side: Side, outcomes: Outcomes) -> Curve:
    """Gather the curve of a side, all of whose jobs were scored."""
    return Curve(
        side.name,
        tuple(job.until for job in side.trainings[0]),
        tuple(
            tuple(score.loss for job in chain if isinstance(score := outcomes[job.key], Scored))
            for chain in side.trainings
        ),
    )


def require_drawable(path: Path) -> None:
    """Check that a picture can be written there, before trainings are spent on it.

    Raises:
        UserError: another kind of picture, or a place that cannot be written.
    """
    if path.suffix not in _SUFFIXES:
        raise UserError(f"curves are drawn as {' or '.join(_SUFFIXES)}, not as {str(path)!r}")
    if path.is_dir():
        raise UserError(f"curves cannot be written to {path}: it is a folder")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(f"curves cannot be written to {path}: {error.strerror}") from None


def draw(path: Path, curves: Sequence[Curve]) -> None:
    """Write the picture; the same curves give the same bytes.

    Text in an SVG stays text, so that it can be searched, and read aloud.
    """
    from matplotlib import rc_context  # here, because it takes half a second and draws in this place alone
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "foundry", "svg.fonttype": "none", "text.parse_math": False}):
        figure = Figure(figsize=(7, 4.5), layout="constrained")
        axes = figure.add_subplot(xlabel="training tokens", ylabel=f"loss on {SPLIT} (nats per token)")
        for number, each in enumerate(curves):
            color = f"C{number}"
            for losses in each.losses:
                axes.plot(each.tokens, losses, color=color, alpha=0.4, linewidth=0.8)
            axes.plot(each.tokens, each.means, color=color, linewidth=2.5, marker="o", label=each.name)
        axes.grid(alpha=0.3)
        axes.legend(title=f"mean of {len(curves[0].losses)} seeds")
        metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        figure.savefig(path, metadata=metadata, dpi=150)
