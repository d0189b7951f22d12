"""Writing that is either whole or absent, and hashing; the only place that knows how."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def write_atomically(path: Path, data: bytes) -> None:
    """Write, sync, rename into place, sync the folder: readers see the old file or the whole new one."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)  # half a file helps nobody, least of all on a full disk
        raise
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    _sync(path, os.O_RDONLY)


def sync_folder(path: Path) -> None:
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest(root: Path, paths: Iterable[Path]) -> bytes:
    """The lines of `sha256sum` for the given files, relative to root, in sorted order."""
    lines = [f"{sha256(path)}  {path.relative_to(root).as_posix()}\n" for path in sorted(paths)]
    return "".join(lines).encode()


def _sync(path: Path, flags: int) -> None:
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
