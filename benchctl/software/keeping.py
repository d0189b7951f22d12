"""Making something once: under a lock, in a folder of its own, given its name when it is complete.

Whoever is killed meanwhile leaves a folder that the next one removes, and nothing under the final name.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def once(target: Path, make: Callable[[Path], Path]) -> bool:
    """Let `make` fill a new folder and return the path in it that becomes `target`; say whether it had to.

    Of several processes one makes it and the others wait for it.
    """
    if target.exists():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(target.with_name(f"{target.name}.lock")):
        if target.exists():
            return False
        part = target.with_name(f"{target.name}.part")
        _remove(part)  # of one that was killed: nobody else has the lock
        part.mkdir()
        try:
            _sync(made := make(part))
            made.rename(target)
        finally:
            _remove(part)
    return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sync(path: Path) -> None:
    """A file is on disk before it has its name; the files of a folder are not waited for."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
