"""Cgroups for what a run starts, where systemd has given the supervisor a part of the tree for its own.

Owns only what lies below the supervisor's own cgroup; in a container the path above it may be the host's.
Where there is none, nothing is done: adoption and marker find the processes then.
"""

import contextlib
import errno
import hashlib
import os
import time
from pathlib import Path
from typing import Iterator, List, Optional

UNIT_PREFIX = "benchctl-"
_ROOTS = ("", "unified", "systemd")  # below /sys/fs/cgroup: version 2, hybrid, systemd's named hierarchy
_OWN = "supervisor"
_RELEASE_LIMIT = 1.0  # seconds for the kernel to let go of a cgroup whose last process has ended
_ACCOUNTED = ("memory", "io")  # not cpu: its controller would change how the measured are scheduled


class Cgroups:
    """One cgroup for each owner below the supervisor's unit."""

    def __init__(self, root: Optional[Path] = None) -> None:
        """Work below `root`, a cgroup of the caller's own; without one every method does nothing."""
        self._root = root
        if root is None:
            return
        try:
            _enter(root / _OWN, os.getpid())  # a cgroup with controllers holds no processes itself
        except OSError:
            self._root = None
            return
        for name in _ACCOUNTED:
            with contextlib.suppress(OSError):
                (root / "cgroup.subtree_control").write_text(f"+{name}")

    @contextlib.contextmanager
    def entry(self, owner: str) -> Iterator[Optional[int]]:
        """Open an owner's cgroup; a process that writes b"0" to it is inside. None where there is none."""
        handle, folder = None, self.home(owner)
        if folder is not None:
            with contextlib.suppress(OSError):
                handle = os.open(folder / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        try:
            yield handle
        finally:
            if handle is not None:
                os.close(handle)

    def home(self, owner: str) -> Optional[Path]:
        """Make an owner's cgroup; return its folder, None where there are no cgroups."""
        if self._root is None:
            return None
        folder = self._folder(owner)
        with contextlib.suppress(OSError):
            folder.mkdir(exist_ok=True)
        return folder

    def members(self, owner: str) -> List[int]:
        """Return the processes of an owner; never this one, of which a thread may be there for a moment."""
        found: List[int] = []
        if self._root is not None:
            with contextlib.suppress(OSError):
                found = [int(pid) for pid in (self._folder(owner) / "cgroup.procs").read_text().split()]
        return [pid for pid in found if pid != os.getpid()]

    def kill(self, owner: str) -> None:
        """Kill all of an owner at once, where the kernel can (5.14)."""
        if self._root is not None:
            with contextlib.suppress(OSError):
                handle = os.open(self._folder(owner) / "cgroup.kill", os.O_WRONLY)  # not made where it is not
                try:
                    os.write(handle, b"1")
                finally:
                    os.close(handle)

    def remove(self, owner: str) -> None:
        """Remove an owner's cgroup, once all in it have ended, and those that they made below it."""
        if self._root is None:
            return
        deadline = time.monotonic() + _RELEASE_LIMIT
        for folder, _, _ in os.walk(self._folder(owner), topdown=False):
            with contextlib.suppress(OSError):
                while not _removed(Path(folder)) and time.monotonic() < deadline:
                    time.sleep(0.001)

    def _folder(self, owner: str) -> Path:
        plain = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in owner[:60])
        return (self._root or Path()) / f"{plain}.{hashlib.sha256(owner.encode()).hexdigest()[:8]}"


def _removed(folder: Path) -> bool:
    """Remove a cgroup; False while the kernel has not let go of what ended in it. Raises OSError."""
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


def delegated() -> Optional[Path]:
    """Return the cgroup of the transient unit that this process is the main one of, None without."""
    for line in _lines("/proc/self/cgroup"):
        number, controllers, path = line.split(":", 2)
        if not path.rpartition("/")[2].startswith(UNIT_PREFIX):
            continue
        for root in _ROOTS:
            if (number == "0") == (root == "systemd") or (number != "0" and controllers != "name=systemd"):
                continue
            folder = Path("/sys/fs/cgroup", root, path.lstrip("/"))
            if str(os.getpid()) in _lines(str(folder / "cgroup.procs")) and os.access(folder, os.W_OK):
                return folder
    return None


def _enter(folder: Path, pid: int) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "cgroup.procs").write_text(str(pid))


def _lines(path: str) -> List[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
