"""Where provisioning keeps things on the controller, outside of any workspace."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return BENCHCTL_CACHE, else benchctl's folder in XDG_CACHE_HOME or ~/.cache; it may not exist yet."""
    if own := os.environ.get("BENCHCTL_CACHE"):
        return Path(own).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "benchctl"
