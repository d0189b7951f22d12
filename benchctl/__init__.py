"""benchctl: from one experiment file to a number you can defend.

Owns the version and `load`, the way from a notebook to a run; all else lives in the rooms (docs/design).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchctl.results.frames import load

__all__ = ["__version__", "load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import pandas only for those who ask for frames."""
    if name == "load":
        from benchctl.results.frames import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
