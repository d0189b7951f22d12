"""The host as tuning sees it: files of /proc and /sys, units of systemd, and one request that is held.

Owns every read and write of a knob. A root other than / stands for another machine, by a tree of files; units
cannot be changed there. Must not know which knobs there are, nor judge what comes back.
"""

import contextlib
import errno
import os
import re
import subprocess
from glob import glob
from typing import Any, FrozenSet, List, Optional, Sequence, Union

from benchctl.agent import syscalls, unit_states
from benchctl.agent.holder import Holder

READ_SIZE = 1 << 16  # bytes
_UNIT_FOLDERS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
_MASKS = _UNIT_FOLDERS[:2]
_CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv", "/run/host", "/run/systemd/container")
_COMMANDS = {
    "active": (("unmask", "--runtime"), ("start",)),
    "inactive": (("unmask", "--runtime"), ("stop",)),
    "masked": (("stop",), ("mask", "--runtime")),  # of timers; services the other way round
    "active masked": (("unmask", "--runtime"), ("start",), ("mask", "--runtime")),
}
_UNIT_LIMIT = 90.0  # seconds for systemctl: a service may take its time to stop


class Machine:
    """A host, or a tree of files in its place. All methods raise OSError with the kernel's number."""

    def __init__(self, root: str = "/", holder: Optional[Holder] = None, roles: Sequence[str] = ()) -> None:
        """Take the folder in which /proc, /sys and the rest lie; `roles` is what will run here."""
        self.root = root.rstrip("/")
        self.roles = tuple(roles)
        self._holder = holder
        self._timers: Optional[FrozenSet[str]] = None

    def read(self, path: str) -> str:
        """Return the whole text of a file, byte for byte."""
        handle = os.open(self.root + path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            parts = [os.read(handle, READ_SIZE)]
            while parts[-1]:  # files of many records come in pages
                parts.append(os.read(handle, READ_SIZE))
            return b"".join(parts).decode("utf-8", "surrogateescape")
        finally:
            os.close(handle)

    def write(self, path: str, text: str) -> None:
        """Write a setting in one piece, as the kernel wants it."""
        handle = os.open(self.root + path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(handle, text.encode("utf-8", "surrogateescape") + b"\n")
        finally:
            os.close(handle)

    def create(self, path: str, text: str) -> None:
        """Make a file, or give it another text, with the folders that it needs."""
        whole = self.root + path
        os.makedirs(os.path.dirname(whole), exist_ok=True)  # noqa: PTH103, PTH120 - paths are texts here
        handle = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.write(handle, text.encode("utf-8", "surrogateescape"))
            os.fsync(handle)
        finally:
            os.close(handle)

    def delete(self, path: str) -> None:
        """Remove a file, and its folder when that is empty then."""
        whole = self.root + path
        os.unlink(whole)  # noqa: PTH108 - same
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(whole))  # noqa: PTH106, PTH120 - same

    def make_folder(self, path: str) -> None:
        """Make a folder, unless it is there."""
        os.makedirs(self.root + path, exist_ok=True)  # noqa: PTH103 - same

    def remove_folder(self, path: str) -> None:
        """Remove an empty folder, or a cgroup without processes."""
        os.rmdir(self.root + path)  # noqa: PTH106 - same

    def call(self, name: str, *arguments: Any) -> Any:  # noqa: ANN401 - each call has its own
        """Make a call of the kernel that no file stands for; a tree takes none."""
        if self.root:
            raise OSError(errno.EOPNOTSUPP, f"{self.root} is a tree of files: it takes no {name}")
        return getattr(syscalls, name)(*arguments)

    def find(self, pattern: str) -> List[str]:
        """Return the paths that match a pattern, in the order of their numbers."""
        if "*" not in pattern:
            return [pattern] if os.path.lexists(self.root + pattern) else []
        found = (path[len(self.root) :] for path in glob(self.root + pattern))  # noqa: PTH207 - text is wanted, of many
        return sorted(found, key=by_number)

    def has(self, path: str) -> bool:
        """Say whether there is such a path."""
        return os.path.lexists(self.root + path)

    def link(self, path: str) -> str:
        """Return where a link leads; "" for what is none."""
        try:
            return os.readlink(self.root + path)  # noqa: PTH115 - many of them, and text is wanted
        except OSError:
            return ""

    def unit_folder(self, name: str) -> str:
        """Return the folder whose file counts for a unit; "" when there is no such unit, or no systemd."""
        if not self.has("/run/systemd/system"):
            return ""
        return next((folder for folder in _UNIT_FOLDERS if self.has(f"{folder}/{name}")), "")

    def unit_state(self, name: str) -> str:
        """Return active or inactive; masked for an inactive one that nothing can start."""
        folder = self.unit_folder(name)
        if not folder:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        if name.endswith(".timer"):  # it executes nothing itself, so no file tells
            active = name in self.timers()
        else:
            active = self.has(f"/run/systemd/units/invocation:{name}")
        if folder in _MASKS and self.link(f"{folder}/{name}") == "/dev/null":
            return "active masked" if active else "masked"
        return "active" if active else "inactive"

    def look_again(self) -> None:
        """Forget which timers wait: one question to systemd serves a whole pass over the knobs."""
        self._timers = None

    def timers(self) -> FrozenSet[str]:
        """Return the timers that wait for their time; those of a tree never do."""
        if self._timers is None and self.root:
            self._timers = frozenset()
        if self._timers is None:
            try:
                self._timers = unit_states.active_units("*.timer")
            except OSError:  # it answers root alone
                words = ["--type=timer", "--state=active", "--plain", "--no-legend", "--full"]
                listed = self.systemctl(["list-units", *words])
                self._timers = frozenset(line.split()[0] for line in listed.splitlines() if line.strip())
        return self._timers

    def set_units(self, names: Sequence[str], state: str) -> None:
        """Bring units of systemd into a state, for this boot only."""
        if os.getuid() and not self.root:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        self.look_again()
        steps = [(verb, [*names]) for verb in _COMMANDS[state]]
        if state == "masked":
            # A timer that is masked while it waits ends as failed. A service that is stopped before may be
            # started again by its socket.
            (stop, _), mask = steps
            timers = [name for name in names if name.endswith(".timer")]
            steps = [(stop, timers), mask, (stop, [name for name in names if name not in timers])]
        for verb, chosen in steps:
            if chosen:
                self.systemctl([*verb, *chosen])

    def systemctl(self, words: Sequence[str]) -> str:
        """Tell systemd something; return what it says. The one of this host has nothing to do with a tree."""
        if self.root:
            raise OSError(errno.EOPNOTSUPP, f"units cannot be changed in {self.root}")
        return self.command(["systemctl", "--no-ask-password", *words], _UNIT_LIMIT)

    def command(self, words: Sequence[str], limit: float) -> str:
        """Have a program of the host do something within `limit` seconds; return what it prints."""
        told = " ".join(word for word in words[:3] if not word.startswith("--"))
        if self.root:
            raise OSError(errno.EOPNOTSUPP, f"{self.root} is a tree of files: nothing does {told} there")
        try:
            done = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise OSError(errno.ETIMEDOUT, f"{told} did not end in {limit:g} s") from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise OSError(errno.EIO, said[-1] if said else f"{told} failed")
        return done.stdout.decode(errors="replace")

    def held(self) -> str:
        """Return the latency in µs that is requested through us, or free."""
        if not self.has("/dev/cpu_dma_latency"):
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return self._holder.held() if self._holder else "free"

    def hold(self, value: str) -> None:
        """Request a latency in µs until further notice, or give the request back: free."""
        if self._holder is None:
            raise OSError(errno.EOPNOTSUPP, "nothing here can hold a request")
        self._holder.release()
        if value != "free":
            self._holder.hold(self.root, value)

    def in_container(self) -> bool:
        """Say whether the kernel is shared with the machine that this container runs on."""
        return any(self.has(mark) for mark in _CONTAINER_MARKS)


def half_way(state: str, end: str) -> "set[str]":
    """Return what a unit may be where a crash ends the commands that bring it from one state to another."""
    found = set()
    for steps in (_COMMANDS[end], _COMMANDS[end][::-1] if end == "masked" else ()):
        active, masked = state.startswith("active"), state.endswith("masked")
        for verb, *_ in steps:
            active = verb == "start" or (active and verb != "stop")
            masked = verb == "mask" or (masked and verb != "unmask")
            found.add(" ".join(["active"] * active + ["masked"] * masked) or "inactive")
    return found


def by_number(path: str) -> List[Union[int, str]]:
    """Let cpu10 follow cpu9."""
    return [int(part) if odd % 2 else part for odd, part in enumerate(re.split(r"(\d+)", path))]
