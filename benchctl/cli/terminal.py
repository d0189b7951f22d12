"""How wide and how colourful stdout may be."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TypedDict


class Look(TypedDict):
    width: int | None  # None: the renderer's own choice, for files and pipes
    color: bool


def terminal() -> Look:
    """Width on a terminal, and colours unless NO_COLOR is set (https://no-color.org); else neither."""
    if not sys.stdout.isatty():
        return {"width": None, "color": False}
    return {"width": shutil.get_terminal_size().columns, "color": not os.environ.get("NO_COLOR")}
