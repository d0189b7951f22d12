"""A folder for one call of Ansible: this user's alone, on a short path, and gone afterwards.

Owns what must never lie in the run directory. What a killed benchctl left is swept by the next one.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from benchctl.errors import UnfitError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = "ansible-"
_SOCKET_ROOM = 30  # bytes: the name of a control socket, and what ssh adds while it makes one
_SOCKET_LIMIT = 107  # bytes of a Unix socket's path that Linux takes
_CLOSE_LIMIT = 10  # seconds


@contextmanager
def private_folder() -> Iterator[Path]:
    """Make the folder, and remove it at the end; the connections that ssh shares in it are closed first.

    Raises UnfitError when the place for it belongs to another user.
    """
    base = _base()
    folder, lock = _locked_folder(base)
    try:
        yield folder
    finally:
        _remove(folder)
        os.close(lock)
        with suppress(OSError):  # others use it
            base.rmdir()


def control_folder(private: Path) -> Path | None:
    """Return the folder for the sockets of shared connections; None where its path is too long for any."""
    folder = private / "c"
    if len(os.fsencode(folder)) + _SOCKET_ROOM > _SOCKET_LIMIT:
        return None
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@contextmanager
def told_once(secret: str | None, private: Path) -> Iterator[Path | None]:
    """Give the path of a pipe that its first reader gets the secret from; it never lies on a disk."""
    if secret is None:
        yield None
        return
    path = private / "secret"
    os.mkfifo(path, 0o600)
    writer = threading.Thread(target=_tell, args=(path, secret.encode()), daemon=True)
    writer.start()
    try:
        yield path
    finally:
        while writer.is_alive():  # nobody has read: let it go
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
            writer.join(0.05)


def _tell(path: Path, secret: bytes) -> None:
    with suppress(BrokenPipeError), path.open("wb", buffering=0) as pipe:
        pipe.write(secret)


def _base() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    base = (
        Path(runtime, "benchctl")
        if runtime
        else Path(tempfile.gettempdir(), f"benchctl-{os.getuid()}").absolute()
    )
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    if base.is_symlink() or base.stat().st_uid != os.getuid():
        raise UnfitError(
            f"{base} belongs to another user", remedy="remove it, or set XDG_RUNTIME_DIR to a folder of yours"
        )
    return base


def _locked_folder(base: Path) -> tuple[Path, int]:
    """Make and lock a folder, after those whose locks nobody holds any more have been removed."""
    turn = os.open(base, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(turn, fcntl.LOCK_EX)
        for left in base.glob(f"{_PREFIX}*"):
            with suppress(OSError):
                _sweep(left)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        return folder, lock
    finally:
        os.close(turn)


def _sweep(folder: Path) -> None:
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(folder)
    finally:
        os.close(lock)


def _remove(folder: Path) -> None:
    for socket in (folder / "c").glob("*"):
        argv = ["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "--", "x"]
        with suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(argv, capture_output=True, check=False, timeout=_CLOSE_LIMIT)
    shutil.rmtree(folder, ignore_errors=True)
