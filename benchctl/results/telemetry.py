"""host.samples as time series: what a host, its DBMS and its load generator did, second by second.

Counters become rates between one sample and the next, at the time of the later one; times count from the
window's start, below 0 in the warm-up. Owns the names of channels. What a kernel does not tell is left out,
and what is not understood too: verdicts come from gates, this is for people. Source: proc(5),
Documentation/admin-guide/iostats.rst, accounting/psi.rst.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from benchctl.results.raw import SAMPLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

SCHEMAS = (1, 2)
_SECTOR = 512  # bytes, in diskstats whatever the disk's own are
_PART = re.compile(r"p?\d+")
_DEVICES = ("disk.", "net.")  # those that did nothing are left out
_NOT_DISKS = ("loop", "ram", "zram", "sr", "fd")

Sample = dict[str, Any]


class Channel(NamedTuple):
    """One quantity of a host over a trial: times in seconds from the window's start."""

    host: str
    name: str
    unit: str
    times: tuple[float, ...]
    values: tuple[float, ...]


class Reading(NamedTuple):
    """What one sample says: counters to be taken as rates, shares of a counter of their own, and levels."""

    rates: dict[tuple[str, str], float]  # (name, unit) -> counter that only grows
    shares: dict[tuple[str, str], tuple[float, float]]  # (name, unit) -> (part, whole), both growing
    levels: dict[tuple[str, str], float]


def channels(host: str, folder: Path) -> tuple[Channel, ...]:
    """Everything that a host's samples tell, by name; nothing without samples or of an unknown form."""
    points: dict[tuple[str, str], list[tuple[float, float]]] = {}
    rates: dict[tuple[str, str], tuple[float, float]] = {}
    shares: dict[tuple[str, str], tuple[float, float]] = {}
    samples = _samples(folder / SAMPLES)
    start = next((float(s["m"]) for s in samples if not s.get("warmup")), 0.0)
    for sample in samples:
        at, reading = float(sample["m"]) - start, _read(sample)
        for key, level in reading.levels.items():
            points.setdefault(key, []).append((at, level))
        for key, counter in reading.rates.items():
            before, then = rates.get(key, (counter, at))
            if at > then and counter >= before:
                points.setdefault(key, []).append((at, (counter - before) / (at - then)))
            rates[key] = counter, at
        for key, (part, whole) in reading.shares.items():
            old_part, old_whole = shares.get(key, (part, whole))
            if whole > old_whole and part >= old_part:
                points.setdefault(key, []).append((at, (part - old_part) / (whole - old_whole)))
            shares[key] = part, whole
    return tuple(
        Channel(host, name, unit, tuple(round(t, 6) for t, _ in found), tuple(value for _, value in found))
        for (name, unit), found in sorted(points.items())
        if not name.startswith(_DEVICES) or any(value for _, value in found)
    )


def _samples(path: Path) -> list[Sample]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        if not lines or json.loads(lines[0])["schema"] not in SCHEMAS:
            return []
        found = []
        for line in lines[1:]:
            sample = json.loads(line)
            float(sample["m"])
            found.append(sample)
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return found


def _read(sample: Sample) -> Reading:
    reading = Reading({}, {}, {})
    files = sample.get("files") or {}
    for name, read in _FILES.items():
        if isinstance(files.get(name), str):
            _quietly(read, files[name], reading)
    for kind in ("cpu", "io", "memory"):
        if isinstance(files.get(f"pressure_{kind}"), str):
            _quietly(_pressure, f"{kind} {files[f'pressure_{kind}']}", reading)
    for part in ("service", "task", "agent"):
        _process(part, sample.get(part) or {}, reading)
    for policy, kilohertz in (sample.get("freq") or {}).items():
        reading.levels[f"freq.{policy}", "Hz"] = float(kilohertz) * 1000
    for sensor, millidegrees in (sample.get("temp") or {}).items():
        reading.levels[f"temp.{sensor}", "°C"] = float(millidegrees) / 1000
    memory = (sample.get("service_cgroup") or {}).get("memory.current")
    if isinstance(memory, str) and memory.strip().isdigit():
        reading.levels["service.memory", "B"] = float(memory)
    return reading


def _quietly(read: Callable[[str, Reading], None], text: str, reading: Reading) -> None:
    """A file of an unknown form tells nothing; the rest of the sample does."""
    try:
        read(text, reading)
    except (ValueError, KeyError, IndexError, TypeError):
        return


def _stat(text: str, reading: Reading) -> None:
    for line in text.splitlines():
        name, *fields = line.split()
        if name.startswith("cpu"):
            user, nice, system, idle, iowait, irq, soft, steal = map(float, fields[:8])
            whole = user + nice + system + idle + iowait + irq + soft + steal
            reading.shares[f"{name}.busy", "ratio"] = whole - idle - iowait - steal, whole
            if name == "cpu":
                parts = {"user": user + nice, "system": system, "irq": irq + soft, "iowait": iowait}
                for kind, ticks in {**parts, "steal": steal}.items():
                    reading.shares[f"cpu.{kind}", "ratio"] = ticks, whole
        elif name == "ctxt":
            reading.rates["cpu.context_switches", "1/s"] = float(fields[0])


def _pressure(text: str, reading: Reading) -> None:
    kind, _, rest = text.partition(" ")
    some = next(line for line in rest.splitlines() if line.startswith("some "))
    reading.rates[f"pressure.{kind}", "ratio"] = float(some.rpartition("total=")[2]) / 1e6


def _disks(text: str, reading: Reading) -> None:
    rows = {fields[2]: fields for line in text.splitlines() if len(fields := line.split()) > 13}
    for disk, fields in rows.items():
        if not _is_part(disk, rows) and not disk.startswith(_NOT_DISKS):
            reading.rates[f"disk.{disk}.read_bytes", "B/s"] = float(fields[5]) * _SECTOR
            reading.rates[f"disk.{disk}.write_bytes", "B/s"] = float(fields[9]) * _SECTOR
            reading.rates[f"disk.{disk}.busy", "ratio"] = float(fields[12]) / 1000


def _is_part(disk: str, disks: Iterable[str]) -> bool:
    """Whether it is a partition of another one: its bytes are counted there."""
    return any(
        disk != other and disk.startswith(other) and _PART.fullmatch(disk[len(other) :]) for other in disks
    )


def _network(text: str, reading: Reading) -> None:
    for line in text.splitlines():
        card, colon, numbers = line.partition(":")
        if colon:
            fields = numbers.split()
            reading.rates[f"net.{card.strip()}.rx_bytes", "B/s"] = float(fields[0])
            reading.rates[f"net.{card.strip()}.tx_bytes", "B/s"] = float(fields[8])


def _memory(text: str, reading: Reading) -> None:
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if name in {"MemAvailable", "Dirty"}:
            key = "memory.available" if name == "MemAvailable" else "memory.dirty"
            reading.levels[key, "B"] = float(rest.split()[0]) * 1024


def _load(text: str, reading: Reading) -> None:
    reading.levels["load.average", "1"] = float(text.split(maxsplit=1)[0])


def _tcp(text: str, reading: Reading) -> None:
    """Pairs of lines: names, then values."""
    lines = text.splitlines()
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        group, _, rest = names.partition(":")
        found = dict(zip(rest.split(), values.partition(":")[2].split(), strict=False))
        for (wanted, counter), channel in _TCP.items():
            if group == wanted and counter in found:
                reading.rates[channel, "1/s"] = float(found[counter])


def _process(part: str, said: Sample, reading: Reading) -> None:
    """CPU in CPUs, as `top` has it: 1.5 is one and a half CPU."""
    for key, value in said.items():
        if isinstance(value, int | float):
            name = f"{part}.{key}"
            if key == "cpu":
                reading.rates[name, "CPUs"] = float(value)
            elif key == "rss":
                reading.levels[name, "B"] = float(value)
            elif key.endswith("_bytes"):
                reading.rates[name, "B/s"] = float(value)
            elif key == "ctxt":
                reading.rates[f"{part}.context_switches", "1/s"] = float(value)


_TCP = {
    ("Tcp", "RetransSegs"): "tcp.retransmits",
    ("TcpExt", "ListenOverflows"): "tcp.listen_overflows",
    ("TcpExt", "ListenDrops"): "tcp.listen_drops",
}
_FILES: dict[str, Callable[[str, Reading], None]] = {
    "stat": _stat,
    "diskstats": _disks,
    "netdev": _network,
    "meminfo": _memory,
    "loadavg": _load,
    "netstat": _tcp,
    "snmp": _tcp,
}
