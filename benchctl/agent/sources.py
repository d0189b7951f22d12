"""The kernel's files that samples are made of, opened once per run and read as they are.

Owns where counters stand and how a file is read whole. Files are read from several threads: nothing here
keeps a position.
"""

import contextlib
import os
from pathlib import Path
from typing import Dict, FrozenSet, List, Optional

from benchctl.agent import surroundings
from benchctl.agent.wire import Json

_READ = 1 << 14  # bytes: larger buffers cost more than the reading
_SURELY_WHOLE = 3072  # bytes: the kernel hands out some files by the page
FILES = {
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
_CPUS = Path("/sys/devices/system/cpu")
_VMSTAT = (b"\npgmajfault ", b"\npswpin ", b"\npswpout ", b"\noom_kill ")


class Sources:
    """All that is the same for every window of a run."""

    def __init__(self) -> None:
        """Open what there is on this host."""
        self._files = {name: open_file(Path(source)) for name, source in FILES.items()}
        self._throttle = _open_throttle()
        self._cgroup = open_file(_own_cgroup())
        self._sensors = surroundings.Sensors()
        self.names = [*FILES, "throttle", "cgroup_cpu"]

    def read(self, left_out: FrozenSet[str]) -> Json:
        """Return the files' texts by name, but for those left out; None for what this host has not."""
        found: Json = {}
        for name, handle in self._files.items():
            if name not in left_out:
                found[name] = None if handle is None else _text(name, _whole(handle))
        found["cgroup_cpu"] = None if self._cgroup is None else _whole(self._cgroup).decode()
        return found

    def add_sensors(self, sample: Json) -> None:
        """Add what is read less often: counts of throttling, frequencies, temperatures."""
        counts = [int(os.pread(handle, 32, 0)) for handle in self._throttle]
        sample["files"]["throttle"] = sum(counts) if counts else None
        sample["freq"], sample["temp"] = self._sensors.read()

    def close(self) -> None:
        """Close all files."""
        for handle in (*self._files.values(), *self._throttle, self._cgroup):
            if handle is not None:
                os.close(handle)
        self._sensors.close()


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
    handles = (open_file(path) for path in _CPUS.glob("cpu*/thermal_throttle/*_throttle_count"))
    return [handle for handle in handles if handle is not None]


def open_cgroup(pid: Optional[int]) -> Dict[str, Optional[int]]:
    """Open the files of a process's own cgroup; none when it shares the agent's, or there is no version 2."""
    theirs = _unified_cgroup(pid) if pid else None
    if theirs is None or theirs in {_unified_cgroup(os.getpid()), "/"}:
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
                return cpu_counts(Path("/sys/fs/cgroup"), path)
            if "cpu" in controllers.split(","):
                return Path("/sys/fs/cgroup/cpu") / path.lstrip("/") / "cpu.stat"
    return None


def cpu_counts(root: Path, cgroup: str) -> Optional[Path]:
    """Return the cpu.stat of the nearest cgroup that has the CPU controller: the others count no quota."""
    folder = root / cgroup.lstrip("/")
    for one in (folder, *folder.parents):
        with contextlib.suppress(OSError):
            if "nr_throttled" in (one / "cpu.stat").read_text():
                return one / "cpu.stat"
        if one == root:
            break
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
