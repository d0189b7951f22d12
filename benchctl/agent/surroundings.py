"""What else goes on around a window: sensors, interrupts, kernel messages, units, logins.

Owns their sources. Anything that a host does not have, or does not show to this user, is None or missing.
"""

import contextlib
import operator
import os
import time
from collections import deque
from pathlib import Path
from typing import Deque, Dict, List, NamedTuple, Optional, Tuple

from benchctl.agent.wire import Json

KMSG_TEXTS = 5  # of the newest kernel messages that a sample shows
_KMSG_RECORDS = 20_000  # that are read at once at most
_TEXT_LIMIT = 200
_SLOW_SENSOR = 0.0005  # seconds: some drivers ask the device itself: these are left out
_UTMP_RECORD, _USER_PROCESS = 384, 7
_CPUFREQ = Path("/sys/devices/system/cpu/cpufreq")
_HWMON = Path("/sys/class/hwmon")
SESSIONS = Path("/run/systemd/sessions")
UNITS = "/run/systemd/units"
_INVOCATION = "invocation:"


class _Sensor(NamedTuple):
    name: str
    handle: int


class Sensors:
    """CPU frequencies in kHz and temperatures in thousandths of a degree, those that answer at once."""

    def __init__(self) -> None:
        """Open what there is."""
        frequencies = {path.parent.name: path for path in _CPUFREQ.glob("policy*/scaling_cur_freq")}
        self._frequencies = _quick(frequencies)
        temperatures: Dict[str, Path] = {}
        for path in sorted(_HWMON.glob("*/temp*_input")):
            name = _sensor_name(path)
            alike = sum(known.partition("#")[0] == name for known in temperatures)
            temperatures[f"{name}#{alike + 1}" if alike else name] = path
        self._temperatures = _quick(temperatures)

    def read(self) -> Tuple[Dict[str, int], Dict[str, int]]:
        """Return frequencies by policy and temperatures by sensor."""
        return _numbers(self._frequencies), _numbers(self._temperatures)

    def close(self) -> None:
        """Close all files."""
        for sensor in (*self._frequencies, *self._temperatures):
            os.close(sensor.handle)


class KernelLog:
    """Messages of the kernel since it was opened."""

    def __init__(self) -> None:
        """Start at the log's end; this user may not be allowed to."""
        self._handle: Optional[int] = None
        self._count = 0
        self._last: Deque[str] = deque(maxlen=KMSG_TEXTS)
        with contextlib.suppress(OSError):
            self._handle = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(self._handle, 0, os.SEEK_END)

    def news(self) -> Optional[Json]:
        """Count all messages up to now, with the newest texts; None without permission."""
        if self._handle is None:
            return None
        for _ in range(_KMSG_RECORDS):
            try:
                record = os.read(self._handle, 8192)
            except BlockingIOError:
                break
            except BrokenPipeError:  # older ones were overwritten; the next read goes on
                continue
            except OSError:
                return None
            self._count += 1
            text = record.split(b"\n", 1)[0].partition(b";")[2]
            self._last.append(text.decode("utf-8", "replace")[:_TEXT_LIMIT])
        return {"count": self._count, "last": list(self._last)}

    def close(self) -> None:
        """Close the log."""
        if self._handle is not None:
            os.close(self._handle)


def interrupts() -> Optional[Dict[str, int]]:
    """Sum up the interrupts of each CPU since boot; None without the file."""
    try:
        head, *lines = Path("/proc/interrupts").read_text(encoding="ascii", errors="replace").splitlines()
    except (OSError, ValueError):
        return None
    names = head.split()
    totals = [0] * len(names)
    for line in lines:
        columns = line.split(None, len(names) + 1)[1 : len(names) + 1]
        if len(columns) == len(names):
            with contextlib.suppress(ValueError):  # a line with fewer counts than CPUs, then words
                totals = list(map(operator.add, totals, map(int, columns)))
    return {name.lower(): total for name, total in zip(names, totals)}  # noqa: B905 - same


def units() -> Optional[List[str]]:
    """Name the units of systemd that are active now; None without systemd."""
    try:
        entries = os.listdir(UNITS)  # noqa: PTH208 - names only, at the edge of a window
    except OSError:
        return None
    return sorted(name[len(_INVOCATION) :] for name in entries if name.startswith(_INVOCATION))


def logins() -> Optional[int]:
    """Count the sessions of users now: systemd's, else those of utmp; None without either."""
    with contextlib.suppress(OSError):
        return sum(not path.name.endswith(".ref") for path in SESSIONS.iterdir())
    with contextlib.suppress(OSError):
        data = Path("/run/utmp").read_bytes()
        kinds = (data[start : start + 2] for start in range(0, len(data), _UTMP_RECORD))
        return sum(int.from_bytes(kind, "little") == _USER_PROCESS for kind in kinds)
    return None


def _quick(paths: Dict[str, Path]) -> List[_Sensor]:
    """Open the sensors that have a value and give it without delay."""
    found = []
    for name, path in sorted(paths.items()):
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            os.pread(handle, 32, 0)  # the first reading may have to wake it
            begin = time.perf_counter()
            int(os.pread(handle, 32, 0))
            slow = time.perf_counter() - begin > _SLOW_SENSOR
        except (OSError, ValueError):
            slow = True
        if slow:
            os.close(handle)
        else:
            found.append(_Sensor(name, handle))
    return found


def _numbers(sensors: List[_Sensor]) -> Dict[str, int]:
    found = {}
    for sensor in sensors:
        with contextlib.suppress(OSError, ValueError):  # a device may be taken away or fall asleep
            found[sensor.name] = int(os.pread(sensor.handle, 32, 0))
    return found


def _sensor_name(path: Path) -> str:
    label = _first_line(path.with_name(path.name.replace("_input", "_label")))
    chip = _first_line(path.with_name("name")) or path.parent.name
    return f"{chip}/{label or path.name.replace('_input', '')}"


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
