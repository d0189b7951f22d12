"""The kernel's calls of a generated machine: what the files that show their effect read like afterwards."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

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


class Calls:
    """The calls of one machine, by the names of benchctl.agent.syscalls."""

    def __init__(self, tree: KernelTree) -> None:
        self._tree = tree
        self._areas: list[tuple[str, str, int] | None] = []  # a slot that is free is used again
        self._kinds: dict[str, str] = {}
        self.full: set[str] = set()  # areas whose pages have no room in memory
        self.discards: dict[str, int] = {}  # area -> the flags that it came with

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


def _plain(path: str) -> str:
    return path.replace("\\040", " ")
