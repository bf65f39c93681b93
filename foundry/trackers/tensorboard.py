"""TensorBoard: `tensorboard --logdir runs/train` shows every training there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from foundry.errors import UserError


class TensorBoard:
    """Event files in a folder; TensorBoard hides what an earlier file of the folder says after `step`."""

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder), purge_step=step + 1)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add one point to each of the curves."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is not written yet."""
        self.writer.close()


def start(folder: Path, step: int) -> TensorBoard:
    """Go on in `folder/tensorboard` after `step` updates.

    Raises:
        UserError: the package tensorboard is not installed.
    """
    try:
        return TensorBoard(folder / "tensorboard", step)
    except ImportError:
        raise UserError(
            "the tracker tensorboard needs its package: pip install -e '.[tensorboard]'"
        ) from None
