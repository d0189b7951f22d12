"""The kernel's text files as numbers. Source: proc(5), Documentation/accounting/psi.rst, cgroup-v2.rst.

Each function raises ValueError or KeyError for text of another form; gates turn that into a finding.
"""

from __future__ import annotations

from typing import NamedTuple


class Ticks(NamedTuple):
    """CPU time of one line of /proc/stat, in clock ticks since boot."""

    busy: int  # user, nice, system, irq, softirq; guests are within user
    steal: int
    total: int


def cpus(stat: str) -> dict[str, Ticks]:
    """`cpu` (all together), `cpu0`, `cpu1`, … of /proc/stat."""
    found = {}
    for line in stat.splitlines():
        name, *fields = line.split()
        if name.startswith("cpu"):
            user, nice, system, idle, iowait, irq, softirq, steal = map(int, fields[:8])
            busy = user + nice + system + irq + softirq
            found[name] = Ticks(busy, steal, busy + idle + iowait + steal)
    if "cpu" not in found:
        raise ValueError("no cpu line")
    return found


def stalled(pressure: str) -> float:
    """Seconds in which some task waited, of a file in /proc/pressure."""
    for line in pressure.splitlines():
        kind, *fields = line.split()
        if kind == "some":
            return int(dict(field.split("=", 1) for field in fields)["total"]) / 1e6
    raise ValueError("no line 'some'")


def counter(text: str, name: str) -> int:
    """A named counter of files with one `name value` per line: vmstat, cpu.stat."""
    return int(dict(line.split(None, 1) for line in text.splitlines())[name])


def table(text: str, kind: str) -> dict[str, int]:
    """The counters of one protocol in /proc/net/snmp or netstat: a line of names, then one of numbers."""
    names, numbers = (line.split()[1:] for line in text.splitlines() if line.startswith(f"{kind}: "))
    return dict(zip(names, map(int, numbers), strict=True))


def listed(text: str) -> frozenset[int]:
    """Return the CPUs of a list such as 0-3,8."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)
