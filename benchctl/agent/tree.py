"""What the processes of a tree use: one walk over /proc, then files kept open.

Owns the reading of /proc/PID for the sampler. A tree's sums are exact after `follow`; in between it notices
new children of its root only.
"""

import contextlib
import os
from typing import Dict, Iterable, List, NamedTuple, Optional, Set

from benchctl.agent.wire import Json

TICK = os.sysconf("SC_CLK_TCK")
PROCESSES_LIMIT = 64  # of a tree that are read between edges: more would cost more than it tells
_FIELDS = 15  # of stat after the name: the rest is not looked at
_STAT_SIZE = 4096  # bytes, more than it has
_PAGE = os.sysconf("SC_PAGE_SIZE")
_NAMES = ("stat", "io", "status")


class Seen(NamedTuple):
    """One process at one instant; CPU in clock ticks."""

    parent: int
    name: str
    ticks: int  # with those of its ended children
    own: int


class Tree:
    """A process and all below it."""

    def __init__(self, root: int) -> None:
        """Follow the root alone until told more."""
        self._root = root
        self._open: Dict[int, Dict[str, int]] = {}
        self._many = False
        self.follow({root})

    def follow(self, pids: Set[int]) -> None:
        """Take these processes as the tree."""
        self._many = len(pids) > PROCESSES_LIMIT
        wanted = set() if self._many else pids
        for pid in set(self._open) - wanted:
            self._drop(pid)
        self._add(wanted)

    def read(self) -> Json:
        """Sum up cpu (s), rss (bytes), read_bytes, write_bytes, ctxt of main threads; None if unknown."""
        if self._many:
            return {"cpu": None}
        self._notice()
        ticks, pages = 0, 0
        counted: Dict[str, List[Optional[int]]] = {name: [] for name in ("read_bytes", "write_bytes", "ctxt")}
        for pid in list(self._open):
            stat = self._content(pid, "stat")
            if not stat:
                self._drop(pid)
                continue
            fields = stat[stat.rindex(b")") + 2 :].split()
            ticks += sum(map(int, fields[11:15]))
            pages += int(fields[21])
            moved, status = self._content(pid, "io"), self._content(pid, "status")
            counted["read_bytes"].append(_number(moved, b"\nread_bytes: "))
            counted["write_bytes"].append(_number(moved, b"\nwrite_bytes: "))
            counted["ctxt"].append(_number(status, b"\nvoluntary_ctxt_switches:"))
            counted["ctxt"].append(_number(status, b"\nnonvoluntary_ctxt_switches:"))
        sums = {name: _sum(numbers) for name, numbers in counted.items()}
        return {"cpu": ticks / TICK, "rss": pages * _PAGE, **sums}

    def read_cpu(self) -> Optional[float]:
        """Sum up the CPU alone, in seconds."""
        if self._many:
            return None
        self._notice()
        ticks = 0
        for pid in list(self._open):
            stat = self._content(pid, "stat")
            if stat:
                ticks += sum(map(int, stat[stat.rindex(b")") + 2 :].split()[11:15]))
        return ticks / TICK

    def close(self) -> None:
        """Close all files."""
        for pid in list(self._open):
            self._drop(pid)

    def _notice(self) -> None:
        children = self._content(self._root, "children")
        if children:
            self._add(set(map(int, children.split())))
            self._many = len(self._open) > PROCESSES_LIMIT

    def _add(self, pids: Iterable[int]) -> None:
        for pid in set(pids) - set(self._open):
            names = {name: f"/proc/{pid}/{name}" for name in _NAMES}
            if pid == self._root:
                names["children"] = f"/proc/{pid}/task/{pid}/children"
            files: Dict[str, int] = {}
            for name, path in names.items():
                with contextlib.suppress(OSError):
                    files[name] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._open[pid] = files

    def _drop(self, pid: int) -> None:
        for handle in self._open.pop(pid).values():
            os.close(handle)

    def _content(self, pid: int, name: str) -> bytes:
        handle = self._open.get(pid, {}).get(name)
        if handle is not None:
            with contextlib.suppress(OSError):
                return os.pread(handle, 65536, 0)
        return b""


def walk() -> Dict[int, Seen]:
    """Look at all processes of the host."""
    seen: Dict[int, Seen] = {}
    for number in os.listdir("/proc"):  # noqa: PTH208 - ten times cheaper than paths, in the measured window
        data = _stat(number) if number.isdigit() else b""
        if data:
            name, _, rest = data.partition(b"(")[2].rpartition(b") ")
            fields = rest.split(b" ", _FIELDS)
            own = int(fields[11]) + int(fields[12])
            whole = own + int(fields[13]) + int(fields[14])
            seen[int(number)] = Seen(int(fields[1]), name.decode("ascii", "replace"), whole, own)
    return seen


def _stat(pid: str) -> bytes:
    """Read /proc/PID/stat, by system calls alone; empty when it is gone."""
    try:
        handle = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(handle, _STAT_SIZE)
    except OSError:
        return b""
    finally:
        os.close(handle)


def below(seen: Dict[int, Seen], root: int) -> Set[int]:
    """Return a process and all its descendants among those seen."""
    children: Dict[int, List[int]] = {}
    for pid, one in seen.items():
        children.setdefault(one.parent, []).append(pid)
    found, todo = set(), [root]
    while todo:
        pid = todo.pop()
        found.add(pid)
        todo.extend(children.get(pid, ()))
    return found


def _number(text: bytes, label: bytes) -> Optional[int]:
    start = text.find(label)
    return int(text[start + len(label) :].split(None, 1)[0]) if start >= 0 else None


def _sum(numbers: "list[Optional[int]]") -> Optional[int]:
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None
