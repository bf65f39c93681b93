"""Files that hold one JSON object."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from foundry.errors import UserError


def read_object(path: Path) -> dict[str, Any]:
    """Read such a file.

    Raises:
        UserError: it cannot be read, or holds something else.
    """
    try:
        body = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    if not isinstance(body, dict):
        raise UserError(f"{path} holds no JSON object")
    return body
