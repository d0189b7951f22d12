"""Removing a run: out of sight at one instant, then deleted; a crash in between leaves no half of a run.

Must not judge whether a run may go beyond what is certain: one that is being worked on never goes.
"""

from __future__ import annotations

import secrets
import shutil
from typing import TYPE_CHECKING

from benchctl.errors import RunStateError
from benchctl.journal import is_open
from benchctl.results.files import sync_folder

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.results.store import RunStore

ASIDE = ".removed"  # beside the runs: the same file system, and no run by its shape


def remove_run(store: RunStore) -> None:
    """Delete the run directory, and what an earlier removal that crashed left beside it.

    Raises RunStateError when somebody works on the run, or when the folder cannot be changed.
    """
    if is_open(store.path / "journal.jsonl"):
        raise RunStateError(
            f"{store.id} is running", remedy="wait for its end (`benchctl logs --follow`), or interrupt it"
        )
    aside = store.path.parent / ASIDE
    try:
        aside.mkdir(exist_ok=True)
        store.path.rename(aside / f"{store.id}.{secrets.token_hex(4)}")
        sync_folder(store.path.parent)
        shutil.rmtree(aside)
    except OSError as error:
        raise RunStateError(
            f"{error.filename or store.path}: {error.strerror}",
            remedy="make the folder and all in it writable, then run the command again",
        ) from error


def size_of(path: Path) -> int:
    """Return the bytes of all regular files below a path; what vanishes meanwhile counts nothing."""
    paths = [path] if path.is_file() and not path.is_symlink() else path.rglob("*")
    total = 0
    for found in paths:
        try:
            status = found.lstat()
        except OSError:
            continue
        total += status.st_blocks * 512
    return total
