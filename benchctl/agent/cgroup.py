"""Cgroups for what a run starts: below the supervisor's own, or in the measured part of the host.

Owns only what lies below the supervisor's own cgroup, in a container the path above it may be the host's, and
below the one that tuning makes for what is measured (cpusets). Where there is neither, nothing is done:
adoption and marker find the processes then.
"""

import contextlib
import errno
import hashlib
import os
import time
from pathlib import Path
from typing import Iterable, Iterator, List, Optional

MEASURED = Path("/sys/fs/cgroup/benchctl")  # has its CPUs for itself while the plan is in force
UNIT_PREFIX = "benchctl-"
_ROOTS = ("", "unified", "systemd")  # below /sys/fs/cgroup: version 2, hybrid, systemd's named hierarchy
_OWN = "supervisor"
_RELEASE_LIMIT = 1.0  # seconds for the kernel to let go of a cgroup whose last process has ended
_ACCOUNTED = ("memory", "io")  # not cpu: its controller would change how the measured are scheduled


class Cgroups:
    """One cgroup for each owner below the supervisor's unit, or in the measured part."""

    def __init__(self, root: Optional[Path] = None, run: str = "", measured: Path = MEASURED) -> None:
        """Work below `root`, a cgroup of the caller's own; without one only in the measured part."""
        self._root = root
        self._run = run
        self._measured = measured
        if root is None:
            return
        try:
            _enter(root / _OWN, os.getpid())  # a cgroup with controllers holds no processes itself
        except OSError:
            self._root = None
            return
        enable(root, _ACCOUNTED)

    def confine(self, owner: str, cpus: Optional[str]) -> bool:
        """Make an owner's cgroup on these CPUs of the measured part; False where that cannot be."""
        if not cpus or not self._measured.exists():
            return False
        folder = self.place(owner)
        with contextlib.suppress(OSError):
            folder.mkdir(exist_ok=True)
            (folder / "cpuset.cpus").write_text(cpus)
            if _lines(str(folder / "cpuset.cpus.effective")) == _lines(str(folder / "cpuset.cpus")):
                return True
        _remove(folder)  # the kernel gives it other CPUs, or none
        return False

    def place(self, owner: str) -> Path:
        """Return where an owner's cgroup in the measured part is, or would be."""
        return self._measured / f"{_mark(self._run)}.{_plain(owner)}"

    def end(self) -> None:
        """Kill and remove all that this run has in the measured part: no unit holds it."""
        for folder in self._measured.glob(f"{_mark(self._run)}.*"):
            _kill(folder)
            _remove(folder)

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
        folder = self._folder(owner)
        if folder is None:
            return None
        with contextlib.suppress(OSError):
            folder.mkdir(exist_ok=True)
        return folder

    def members(self, owner: str) -> List[int]:
        """Return the processes of an owner; never this one, of which a thread may be there for a moment."""
        found: List[int] = []
        folder = self._folder(owner)
        if folder is not None:
            with contextlib.suppress(OSError):
                found = [int(pid) for pid in (folder / "cgroup.procs").read_text().split()]
        return [pid for pid in found if pid != os.getpid()]

    def kill(self, owner: str) -> None:
        """Kill all of an owner at once, where the kernel can (5.14)."""
        folder = self._folder(owner)
        if folder is not None:
            _kill(folder)

    def remove(self, owner: str) -> None:
        """Remove an owner's cgroup, once all in it have ended, and those that they made below it."""
        folder = self._folder(owner)
        if folder is not None:
            _remove(folder)

    def _folder(self, owner: str) -> Optional[Path]:
        confined = self.place(owner)
        if confined.exists():
            return confined
        return None if self._root is None else self._root / _plain(owner)


def enable(folder: Path, controllers: Iterable[str]) -> None:
    """Let the children of a cgroup have controllers, as far as it has them itself."""
    for name in controllers:
        with contextlib.suppress(OSError):
            (folder / "cgroup.subtree_control").write_text(f"+{name}")


def _kill(folder: Path) -> None:
    with contextlib.suppress(OSError):
        handle = os.open(folder / "cgroup.kill", os.O_WRONLY)  # not made where it is not
        try:
            os.write(handle, b"1")
        finally:
            os.close(handle)


def _remove(top: Path) -> None:
    deadline = time.monotonic() + _RELEASE_LIMIT
    for folder, _, _ in os.walk(top, topdown=False):
        with contextlib.suppress(OSError):
            while not _removed(Path(folder)) and time.monotonic() < deadline:
                time.sleep(0.001)


def _plain(owner: str) -> str:
    plain = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in owner[:60])
    return f"{plain}.{_mark(owner)}"


def _mark(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:8]


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
