"""The host's counters over a measured window, raw: one JSON line per sample.

Owns host.samples. Files stay open and are read as they are; nothing is interpreted here, so that verdicts can
be worked out again later. Its own cost is part of each sample.
"""

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional

from benchctl.agent.context import Json

SCHEMA = 1
BUSIEST = 10  # foreign processes that a sample names
_READ = 1 << 18
_FLUSH_LINES = 64
_FILES = {
    "stat": "/proc/stat",
    "pressure_cpu": "/proc/pressure/cpu",
    "pressure_io": "/proc/pressure/io",
    "pressure_memory": "/proc/pressure/memory",
    "vmstat": "/proc/vmstat",
    "diskstats": "/proc/diskstats",
    "loadavg": "/proc/loadavg",
    "meminfo": "/proc/meminfo",
}
_AT_EDGES = ("meminfo",)
_VMSTAT = (b"pgmajfault ", b"pswpin ", b"pswpout ", b"oom_kill ")
_TICK = os.sysconf("SC_CLK_TCK")


class _Seen(NamedTuple):
    parent: int
    name: str
    ticks: int  # with those of its ended children
    own: int


class Sampler:
    """One window. `take` costs some tenths of a millisecond, at the edges a walk over /proc on top."""

    def __init__(self, path: Path, service: Optional[int]) -> None:
        """Open all files; `service` is the server's process number if there is one."""
        self._out = path.open("w", encoding="ascii")
        self._service = service
        self._files = _open_files()
        self._throttle = _open_throttle()
        self._cgroup = _open(_own_cgroup())
        self._first: Optional[Dict[int, int]] = None  # CPU ticks of foreign processes at the first sample
        names = [*_FILES, "throttle", "cgroup_cpu"]
        self._lines = [json.dumps({"schema": SCHEMA, "files": names})]

    def take(self, task: int, *, edge: bool, ended: Optional[float] = None) -> None:
        """Add a sample; at an `edge` with the trees' CPU. `ended` is the CPU of a task that is gone.

        `foreign` holds all other processes at the first edge, the busiest since then at the last.
        """
        sample: Json = {
            "t": time.time(),
            "m": time.monotonic(),
            "files": self._read(edge=edge),
            "task": {"cpu": None},
            "service": {"cpu": None},
            "agent": {"cpu": time.process_time()},
        }
        if edge:
            seen = _walk()
            trees = {pid: _tree(seen, pid) for pid in (task, self._service, os.getpid()) if pid}
            sample["task"]["cpu"] = _cpu(seen, trees[task]) if task in seen else ended
            if self._service in seen:
                sample["service"]["cpu"] = _cpu(seen, trees[self._service])
            sample["foreign"] = self._busiest(_foreign(seen, set().union(*trees.values())))
        self._lines.append(json.dumps(sample))
        if len(self._lines) >= _FLUSH_LINES:
            self._flush()

    def close(self) -> None:
        """Write what is left and close all files."""
        self._flush()
        self._out.close()
        for handle in [*self._files.values(), *self._throttle, self._cgroup]:
            if handle is not None:
                os.close(handle)

    def _busiest(self, foreign: Dict[int, _Seen]) -> List[Json]:
        if self._first is None:  # all of them: any may turn out to be the busiest
            self._first = {pid: one.own for pid, one in foreign.items()}
            return _entries(foreign, foreign)
        first = self._first
        ranked = sorted(foreign, key=lambda pid: foreign[pid].own - first.get(pid, 0), reverse=True)
        return _entries(foreign, ranked[:BUSIEST])

    def _flush(self) -> None:
        self._out.write("\n".join(self._lines) + "\n")
        self._out.flush()
        self._lines = []

    def _read(self, *, edge: bool) -> Json:
        found: Json = {}
        for name, handle in self._files.items():
            if edge or name not in _AT_EDGES:
                found[name] = None if handle is None else _text(name, os.pread(handle, _READ, 0))
        found["throttle"] = sum(int(os.pread(fd, 32, 0)) for fd in self._throttle) if self._throttle else None
        found["cgroup_cpu"] = None if self._cgroup is None else os.pread(self._cgroup, _READ, 0).decode()
        return found


def _open_files() -> Dict[str, Optional[int]]:
    return {name: _open(Path(path)) for name, path in _FILES.items()}


def _open_throttle() -> List[int]:
    cpus = Path("/sys/devices/system/cpu")
    handles = (_open(path) for path in cpus.glob("cpu*/thermal_throttle/*_throttle_count"))
    return [handle for handle in handles if handle is not None]


def _open(path: Optional[Path]) -> Optional[int]:
    if path is None:
        return None
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        os.pread(handle, 1, 0)  # pressure files may exist and refuse to be read
    except OSError:
        os.close(handle)
        return None
    return handle


def _own_cgroup() -> Optional[Path]:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                return Path("/sys/fs/cgroup") / path.lstrip("/") / "cpu.stat"
            if "cpu" in controllers.split(","):
                return Path("/sys/fs/cgroup/cpu") / path.lstrip("/") / "cpu.stat"
    return None


def _text(name: str, raw: bytes) -> str:
    if name == "stat":  # interrupts are one long line that nobody here reads
        start, end = raw.find(b"\nintr "), raw.find(b"\nctxt ")
        raw = raw[: start + 1] + raw[end + 1 :] if 0 <= start < end else raw
    elif name == "vmstat":
        raw = b"".join(line + b"\n" for line in raw.splitlines() if line.startswith(_VMSTAT))
    return raw.decode("ascii", "replace")


def _walk() -> Dict[int, _Seen]:
    seen: Dict[int, _Seen] = {}
    for number in os.listdir("/proc"):  # noqa: PTH208 - ten times cheaper than paths, in the measured window
        if number.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{number}/stat", "rb") as file:  # noqa: PTH123 - same
                name, _, rest = file.read().partition(b"(")[2].rpartition(b") ")
                fields = rest.split()
                own = int(fields[11]) + int(fields[12])
                whole = own + int(fields[13]) + int(fields[14])
                seen[int(number)] = _Seen(int(fields[1]), name.decode("ascii", "replace"), whole, own)
    return seen


def _tree(seen: Dict[int, _Seen], root: int) -> "set[int]":
    below: Dict[int, List[int]] = {}
    for pid, one in seen.items():
        below.setdefault(one.parent, []).append(pid)
    found, todo = set(), [root]
    while todo:
        pid = todo.pop()
        found.add(pid)
        todo.extend(below.get(pid, ()))
    return found


def _cpu(seen: Dict[int, _Seen], tree: "set[int]") -> float:
    return sum(seen[pid].ticks for pid in tree if pid in seen) / _TICK


def _foreign(seen: Dict[int, _Seen], ours: "set[int]") -> Dict[int, _Seen]:
    kernel = 2  # the parent of all kernel threads: they work for others
    return {
        pid: one
        for pid, one in seen.items()
        if pid not in ours and one.own and kernel not in {pid, one.parent}
    }


def _entries(foreign: Dict[int, _Seen], pids: Iterable[int]) -> List[Json]:
    return [{"pid": pid, "name": foreign[pid].name, "cpu": foreign[pid].own / _TICK} for pid in pids]
