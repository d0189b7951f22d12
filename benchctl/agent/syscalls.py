"""The kernel's calls that Python has no function for, as far as knobs need them.

Owns numbers and layouts. Each raises OSError with the kernel's number; none knows what it is called for.
"""

import os
from typing import Any

_SWAP_PREFER = 0x8000  # with a priority in the lower bits; without it the kernel gives the next lower one


def swapon(path: str, priority: int, flags: int = 0) -> None:
    """Swap to an area as well; with a negative priority the kernel chooses one below all others."""
    chosen = _SWAP_PREFER | priority if priority >= 0 else 0
    _c("swapon", path, os.fsencode(path), chosen | flags)


def swapoff(path: str) -> None:
    """Bring back what an area holds, and swap to it no more."""
    _c("swapoff", path, os.fsencode(path))


def mount_flags(point: str, flags: int) -> None:
    """Change the flags of a mount; those of its file system stay (mount(2): MS_REMOUNT with MS_BIND)."""
    import ctypes

    _c("mount", point, None, os.fsencode(point), None, ctypes.c_ulong(flags), None)


def _c(name: str, about: str, *arguments: Any) -> None:  # noqa: ANN401 - what ctypes takes
    import ctypes  # it takes long to load, and few knobs need it

    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    if function(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name} {about}: {os.strerror(number)}")
