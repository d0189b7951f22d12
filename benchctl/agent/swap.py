"""What memory is swapped to, as one setting: all areas with their priorities, or off.

Owns the text of it: path and priority of each area, the highest first. Must not judge whether to swap.
"""

import contextlib
import errno
import re
from typing import Dict, List, NamedTuple

from benchctl.agent.machine import Machine

OFF = "off"
FILE = "/proc/swaps"
_ESCAPE = re.compile(r"\\([0-7]{3})")
_DISCARD = {"discard": 0x10000, "discard=once": 0x30000, "discard=pages": 0x50000}


class Area(NamedTuple):
    """One area; its path is escaped as the kernel shows it."""

    path: str
    used: int  # KiB
    priority: int


def read(machine: Machine, path: str) -> str:
    """Return all areas with their priorities; `off` without any."""
    return " ".join(f"{area.path} {area.priority}" for area in _areas(machine, path)) or OFF


def write(machine: Machine, path: str, text: str) -> None:
    """Let exactly these areas be in use.

    Those whose priority differs go and come again. The kernel numbers areas without a priority of their own
    downwards as they come, so they come in the order of their old numbers. Raises OSError: ENOMEM when memory
    has no room for what an area holds.
    """
    words = [] if text == OFF else text.split()
    wanted = dict(zip(words[::2], map(int, words[1::2])))  # noqa: B905 - they are pairs
    there = _areas(machine, path)
    for area in reversed([area for area in there if wanted.get(area.path) != area.priority]):
        _check_room(machine, area)
        machine.call("swapoff", unescaped(area.path))
    kept = {area.path for area in there if wanted.get(area.path) == area.priority}
    missing = sorted(
        ((priority, name) for name, priority in wanted.items() if name not in kept), reverse=True
    )
    discards = _discards(machine) if missing else {}
    for priority, name in missing:
        machine.call("swapon", unescaped(name), priority, discards.get(unescaped(name), 0))


def between(text: str, one: str, other: str) -> bool:
    """Say whether only areas of the one or the other are in use: not all went, or came, yet."""
    return set(text.split()[::2]) <= {OFF, *one.split()[::2], *other.split()[::2]}


def _areas(machine: Machine, path: str) -> List[Area]:
    rows = [line.split() for line in machine.read(path).splitlines()[1:]]
    areas = [Area(row[0], int(row[3]), int(row[4])) for row in rows]
    return sorted(areas, key=lambda area: -area.priority)


def _check_room(machine: Machine, area: Area) -> None:
    """The kernel notices only after it has filled all memory."""
    fields = dict(line.split(":", 1) for line in machine.read("/proc/meminfo").splitlines() if ":" in line)
    free = int(fields["MemAvailable"].split()[0])
    if area.used > free:
        raise OSError(errno.ENOMEM, f"{area.path} holds {area.used} KiB, memory has room for {free}")


def _discards(machine: Machine) -> Dict[str, int]:
    """Return the flags that /etc/fstab gives areas: the kernel shows those of none."""
    found = {}
    with contextlib.suppress(OSError):
        for line in machine.read("/etc/fstab").splitlines():
            fields = line.split()
            if len(fields) > 3 and fields[2] == "swap":
                flags = [_DISCARD[option] for option in fields[3].split(",") if option in _DISCARD]
                found[_device(machine, unescaped(fields[0]))] = flags[0] if flags else 0
    return found


def _device(machine: Machine, name: str) -> str:
    """Return the device that a name of /etc/fstab stands for, as the kernel calls it."""
    tag, _, rest = name.partition("=")
    link = machine.link(f"/dev/disk/by-{tag.lower()}/{rest}" if rest else name)
    return f"/dev/{link.rpartition('/')[2]}" if link else name


def unescaped(path: str) -> str:
    """Return a path as it is: tables of the kernel show blanks as octal numbers."""
    return _ESCAPE.sub(lambda match: chr(int(match.group(1), 8)), path)
