"""Writing that is either whole or absent, and hashing; the only place that knows how."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

SYNCS = 8  # at the same time


def write_atomically(path: Path, data: bytes, *, after: Iterable[Path] = ()) -> None:
    """Write, sync, rename into place, sync the folder: readers see the old file or the whole new one.

    It comes `after` other files and folders: they are synced before the rename.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(data)
        _sync_all([temporary, *after])
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)  # half a file helps nobody, least of all on a full disk
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    _sync(path)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest(root: Path, paths: Iterable[Path]) -> bytes:
    """The lines of `sha256sum` for the given files, relative to root, in sorted order."""
    lines = [f"{sha256(path)}  {path.relative_to(root).as_posix()}\n" for path in sorted(paths)]
    return "".join(lines).encode()


def _sync_all(paths: Sequence[Path]) -> None:
    """Side by side: the file system makes one commit of what is asked for at the same time."""
    if len(paths) == 1:
        _sync(paths[0])
    else:
        list(_syncing().map(_sync, paths))


@cache
def _syncing() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(SYNCS, "sync")


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
