"""The kernel's calls of a generated machine: what the files that show their effect read like afterwards."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.kernel import KernelTree

_SWAPS = "/proc/swaps"
_MOUNTS = "/proc/self/mountinfo"
_REMOUNT_BIND = 0x1020
_SHOWN = {  # in the order of the kernel's show_mnt_opts
    0x2: "nosuid",
    0x4: "nodev",
    0x8: "noexec",
    0x400: "noatime",
    0x800: "nodiratime",
    0x200000: "relatime",
    0x100: "nosymfollow",
}
_SETS = {0x0F: 0x0E, 0x11: 0x10, 0x3D: 0x3C, 0x2C: 0x2B, 0x26: 0x25}  # set -> get
_RESETS = {0x10, 0x3C}
_CARD = {  # what is asked for -> the words after the command
    0x0E: [3, 0, 0, 0, 3, 0, 0, 0, 0, 1, 1, *[0] * 11],
    0x10: [4096, 0, 0, 4096, 512, 0, 0, 512],
    0x3C: [0, 0, 1, 8, 0, 0, 1, 4],
    0x2B: [1],
    0x25: [0x8000 | 0x80],
}


class Calls:
    """The calls of one machine, by the names of benchctl.agent.syscalls."""

    def __init__(self, tree: KernelTree) -> None:
        self._tree = tree
        self._areas: list[tuple[str, str, int] | None] = []  # a slot that is free is used again
        self._kinds: dict[str, str] = {}
        self.full: set[str] = set()  # areas whose pages have no room in memory
        self.cards: dict[str, dict[int, list[int]]] = {}  # card -> command -> what it answers
        self.lacks: dict[str, set[str]] = {}
        self.dead_links: set[str] = set()  # cards whose link does not come back before they are put back
        self.resets: list[str] = []
        self.audited = 1
        self.discards: dict[str, int] = {}  # area -> the flags that it came with

    def is_question(self, name: str, arguments: tuple[Any, ...]) -> bool:
        """Whether a call changes nothing."""
        return (name == "ethtool" and arguments[1][0] not in _SETS) or (name, *arguments) == ("audit", None)

    # Swap, as in mm/swapfile.c.

    def swap_to(self, *areas: tuple[str, str, int]) -> None:
        """Begin with these: path as shown, type, priority."""
        self._areas = list(areas)
        self._kinds |= {_plain(path): kind for path, kind, _ in areas}
        self._show()

    def swapon(self, path: str, priority: int, flags: int = 0) -> None:
        if path not in self._kinds:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        if priority < 0:
            priority = min([-1, *(area[2] for area in self._areas if area)]) - 1
        area = (path.replace(" ", "\\040"), self._kinds[path], priority)
        if None in self._areas:
            self._areas[self._areas.index(None)] = area
        else:
            self._areas.append(area)
        self.discards[path] = flags
        self._show()

    def swapoff(self, path: str) -> None:
        if path in self.full:
            raise OSError(errno.ENOMEM, f"swapoff {path}: {os.strerror(errno.ENOMEM)}")
        (gone,) = [area for area in self._areas if area and _plain(area[0]) == path]
        self._areas[self._areas.index(gone)] = None
        for at, area in enumerate(self._areas):  # those that the kernel numbered below it move up
            if area and gone[2] < 0 and area[2] < gone[2]:
                self._areas[at] = (*area[:2], area[2] + 1)
        self._show()

    def _show(self) -> None:
        head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority"
        rows = [
            f"{path}\t{kind}\t1048572\t0\t{priority}" for path, kind, priority in filter(None, self._areas)
        ]
        self._tree.put({_SWAPS: "\n".join([head, *rows])})

    # Mounts, as in fs/namespace.c.

    def mount_flags(self, point: str, flags: int) -> None:
        if flags & _REMOUNT_BIND != _REMOUNT_BIND:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        options = ["ro" if flags & 1 else "rw", *(word for bit, word in _SHOWN.items() if flags & bit)]
        lines = []
        for line in self._tree.text(_MOUNTS).splitlines():
            fields = line.split()
            if _plain(fields[4]) == point:
                fields[5] = ",".join(options)
            lines.append(" ".join(fields))
        self._tree.put({_MOUNTS: "\n".join(lines)})

    # Cards, as in net/ethtool/ioctl.c; the driver is one with combined queues that resets its link.

    def add_card(self, name: str, **lacks: bool) -> None:
        """Give the machine a card; what it `lacks` (lro, adaptive, coalesce, channels) is refused."""
        self.cards[name] = {get: list(words) for get, words in _CARD.items()}
        self.lacks[name] = {key for key, value in lacks.items() if value}
        if "channels" in self.lacks[name]:
            del self.cards[name][0x3C]
        if "coalesce" in self.lacks[name]:
            del self.cards[name][0x0E]

    def ethtool(self, nic: str, words: list[int]) -> list[int]:
        card, command = self.cards[nic], words[0]
        if command in card:
            return [command, *card[command]]
        get = _SETS.get(command, 0)
        if get not in card:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        self._check(nic, get, card[get], words[1:])
        card[get] = words[1:]
        if get in _RESETS:
            self.resets.append(nic)
            if nic in self.dead_links:
                self._tree.put({f"/sys/class/net/{nic}/carrier": str(int(self.resets.count(nic) % 2 == 0))})
        return words

    def _check(self, nic: str, get: int, old: list[int], new: list[int]) -> None:
        highest = {0x10: ((5, 1), (8, 4)), 0x3C: ((5, 1), (6, 2), (7, 3), (8, 4))}
        if any(new[at - 1] > old[limit - 1] for at, limit in highest.get(get, ())):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if get == 0x0E and "adaptive" in self.lacks[nic] and (new[9] or new[10]):
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        if get == 0x25 and "lro" in self.lacks[nic] and new[0] & 0x8000:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    # Audit, as in kernel/audit.c.

    def audit(self, enabled: int | None) -> int:
        if enabled is not None:
            if self.audited == 2:
                raise OSError(errno.EPERM, os.strerror(errno.EPERM))
            self.audited = enabled
        return self.audited


def _plain(path: str) -> str:
    return path.replace("\\040", " ")
