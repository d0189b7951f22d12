"""The host's counters over a measured window, raw: one JSON line per sample.

Owns host.samples (schema 2). Files stay open and are read as they are; nothing is interpreted here, so that
verdicts can be worked out again later. Its own cost is part of each sample.
"""

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Callable, Dict, FrozenSet, Iterable, List, Optional, Set

from benchctl.agent import surroundings
from benchctl.agent.context import Json
from benchctl.agent.tree import TICK, Seen, Tree, below, walk

SCHEMA = 2
BUSIEST = 10  # foreign processes that a sample names
_READ = 1 << 14  # bytes: larger buffers cost more than the reading
_SURELY_WHOLE = 3072  # bytes: the kernel hands out some files by the page
_FLUSH_LINES = 16
_DEAR_EVERY, _DEAREST_EVERY = 0.95, 4.95  # seconds from one reading of what is dear to the next
_FILES = {
    "stat": "/proc/stat",
    "pressure_cpu": "/proc/pressure/cpu",
    "pressure_io": "/proc/pressure/io",
    "pressure_memory": "/proc/pressure/memory",
    "vmstat": "/proc/vmstat",
    "diskstats": "/proc/diskstats",
    "loadavg": "/proc/loadavg",
    "meminfo": "/proc/meminfo",
    "netdev": "/proc/net/dev",
    "netstat": "/proc/net/netstat",
    "snmp": "/proc/net/snmp",
}
_DEAREST = frozenset(("netstat", "snmp"))
_DEAR = frozenset(("vmstat", "meminfo")) | _DEAREST
_VMSTAT = (b"\npgmajfault ", b"\npswpin ", b"\npswpout ", b"\noom_kill ")


class Sampler:
    """One window. `take` costs some tenths of a millisecond, at the edges a walk over /proc on top."""

    def __init__(self, path: Path, service: Optional[int]) -> None:
        """Open all files; `service` is the server's process number if there is one."""
        self.taken = 0
        self._out = path.open("w", encoding="ascii")
        self._service = service
        self._files = {name: open_file(Path(source)) for name, source in _FILES.items()}
        self._throttle = _open_throttle()
        self._cgroup = open_file(_own_cgroup())
        self._service_cgroup = _open_cgroup(service)
        self._sensors = surroundings.Sensors()
        self._kernel_log = surroundings.KernelLog()
        self._trees: Dict[int, Tree] = {}
        self._dear_at = self._dearest_at = float("-inf")
        self._first: Optional[Dict[int, int]] = None  # CPU ticks of foreign processes at the first edge
        names = [*_FILES, "throttle", "cgroup_cpu"]
        self._lines = [json.dumps({"schema": SCHEMA, "files": names})]

    def take(
        self,
        task: Optional[int],
        *,
        edge: bool,
        warmup: bool = False,
        ended: Optional[float] = None,
    ) -> None:
        """Add a sample; what is dear is in it at an `edge` and once a second, the dearest each five.

        `ended` is the CPU of a task that is gone. `foreign` holds all other processes at the first edge, the
        busiest since then at the last.
        """
        now = time.monotonic()
        dear = edge or now - self._dear_at >= _DEAR_EVERY
        dearest = edge or now - self._dearest_at >= _DEAREST_EVERY
        left_out = (frozenset() if dear else _DEAR) | (frozenset() if dearest else _DEAREST)
        sample: Json = {
            "t": time.time(),
            "m": now,
            "files": self._read(left_out),
            "task": {"cpu": ended},
            "service": {"cpu": None},
        }
        if dearest:
            self._dearest_at = now
        if dear:
            self._dear_at = now
            self._add_dear(sample, task)
        if edge or not self.taken:
            self._add_processes(sample, task, foreign=edge)
        if edge:
            self._add_surroundings(sample)
        if warmup:
            sample["warmup"] = True
        sample["agent"] = {"cpu": time.process_time()}
        self._lines.append(json.dumps(sample))
        self.taken += 1
        if len(self._lines) >= _FLUSH_LINES:
            self._flush()

    def close(self) -> None:
        """Write what is left and close all files."""
        self._flush()
        self._out.close()
        for handle in [*self._files.values(), *self._throttle, self._cgroup, *self._service_cgroup.values()]:
            if handle is not None:
                os.close(handle)
        self._sensors.close()
        self._kernel_log.close()
        for tree in self._trees.values():
            tree.close()

    def _flush(self) -> None:
        self._out.write("\n".join(self._lines) + "\n")
        self._out.flush()
        self._lines = []

    def _read(self, left_out: FrozenSet[str]) -> Json:
        found: Json = {}
        for name, handle in self._files.items():
            if name not in left_out:
                found[name] = None if handle is None else _text(name, _whole(handle))
        found["cgroup_cpu"] = None if self._cgroup is None else _whole(self._cgroup).decode()
        return found

    def _add_dear(self, sample: Json, task: Optional[int]) -> None:
        counts = [int(os.pread(handle, 32, 0)) for handle in self._throttle]
        sample["files"]["throttle"] = sum(counts) if counts else None
        sample["freq"], sample["temp"] = self._sensors.read()
        if self._service_cgroup:
            sample["service_cgroup"] = {
                name: read_file(handle) for name, handle in self._service_cgroup.items()
            }
        if self._service in self._trees:
            sample["service"] = self._trees[self._service].read()
        if task in self._trees and sample["task"]["cpu"] is None:
            sample["task"] = {"cpu": self._trees[task].read_cpu()}

    def _add_processes(self, sample: Json, task: Optional[int], *, foreign: bool) -> None:
        """Look at all processes: who belongs to whom, and what the trees and the others used."""
        seen = walk()
        ours = {os.getpid()}
        for name, root in (("task", task), ("service", self._service)):
            if root in seen:
                found = below(seen, root)
                ours |= found
                tree = self._trees.setdefault(root, Tree(root))
                tree.follow(found)
                sample[name] = tree.read() if name == "service" else {}
                sample[name]["cpu"] = sum(seen[pid].ticks for pid in found) / TICK
        if foreign:
            ours |= below(seen, os.getpid())
            sample["foreign"] = self._busiest(_foreign(seen, ours))

    def _add_surroundings(self, sample: Json) -> None:
        sample["edge"] = True
        readers: Dict[str, Callable[[], object]] = {
            "irqs": surroundings.interrupts,
            "kmsg": self._kernel_log.news,
            "units": surroundings.units,
            "logins": surroundings.logins,
        }
        for name, read in readers.items():
            sample[name] = read()

    def _busiest(self, foreign: Dict[int, Seen]) -> List[Json]:
        if self._first is None:  # all of them: any may turn out to be the busiest
            self._first = {pid: one.own for pid, one in foreign.items()}
            return _entries(foreign, foreign)
        first = self._first
        ranked = sorted(foreign, key=lambda pid: foreign[pid].own - first.get(pid, 0), reverse=True)
        return _entries(foreign, ranked[:BUSIEST])


def open_file(path: Optional[Path]) -> Optional[int]:
    """Open a kernel file that can be read; None for one that is not there or refuses."""
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


def read_file(handle: Optional[int]) -> Optional[str]:
    """Read a kernel file that may have gone since it was opened."""
    if handle is not None:
        with contextlib.suppress(OSError):
            return _whole(handle).decode("ascii", "replace")
    return None


def _whole(handle: int) -> bytes:
    data = os.pread(handle, _READ, 0)
    if len(data) < _SURELY_WHOLE:
        return data
    while more := os.pread(handle, _READ, len(data)):
        data += more
    return data


def _open_throttle() -> List[int]:
    cpus = Path("/sys/devices/system/cpu")
    handles = (open_file(path) for path in cpus.glob("cpu*/thermal_throttle/*_throttle_count"))
    return [handle for handle in handles if handle is not None]


def _open_cgroup(pid: Optional[int]) -> Dict[str, Optional[int]]:
    """Open the files of a process's own cgroup; none when it shares the agent's, or there is no version 2."""
    theirs, ours = _unified_cgroup(pid) if pid else None, _unified_cgroup(os.getpid())
    if theirs in {None, ours, "/"}:
        return {}
    for root in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")):
        folder = root / theirs.lstrip("/")
        if (folder / "cpu.stat").exists():
            return {name: open_file(folder / name) for name in ("cpu.stat", "memory.current", "io.stat")}
    return {}


def _unified_cgroup(pid: int) -> Optional[str]:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            if line.startswith("0::"):
                return line[3:]
    return None


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
        raw = b"".join(_line_at(raw, raw.find(start)) for start in _VMSTAT)
    elif name == "netstat":
        raw = _lines_of(raw, b"TcpExt:")
    elif name == "snmp":
        raw = _lines_of(raw, b"Tcp:")
    return raw.decode("ascii", "replace")


def _line_at(raw: bytes, before: int) -> bytes:
    return raw[before + 1 : raw.find(b"\n", before + 1) + 1] if before >= 0 else b""


def _lines_of(raw: bytes, start: bytes) -> bytes:
    return b"".join(line + b"\n" for line in raw.split(b"\n") if line.startswith(start))


def _foreign(seen: Dict[int, Seen], ours: Set[int]) -> Dict[int, Seen]:
    kernel = 2  # the parent of all kernel threads: they work for others
    return {
        pid: one
        for pid, one in seen.items()
        if pid not in ours and one.own and kernel not in {pid, one.parent}
    }


def _entries(foreign: Dict[int, Seen], pids: Iterable[int]) -> List[Json]:
    return [{"pid": pid, "name": foreign[pid].name, "cpu": foreign[pid].own / TICK} for pid in pids]
