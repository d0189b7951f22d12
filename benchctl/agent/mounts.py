"""Whether reading files of a mounted disk writes their times of access.

Owns the flags of a mount as far as that takes: all others stay what they are at that moment.
"""

import errno
import os
from typing import Dict, List, NamedTuple

from benchctl.agent.knob import Place, Spot
from benchctl.agent.machine import Machine
from benchctl.agent.swap import unescaped

_TABLE = "/proc/self/mountinfo"
_REMOUNT_BIND = 0x20 | 0x1000  # of this mount alone: the file system keeps its own options
_FLAGS = {"ro": 0x1, "nosuid": 0x2, "nodev": 0x4, "noexec": 0x8, "nosymfollow": 0x100, "nodiratime": 0x800}
_ATIME = {"noatime": 0x400, "relatime": 0x200000, "strictatime": 0x1000000}


class Mount(NamedTuple):
    """What is mounted at a point, the last one where several are stacked."""

    options: List[str]
    kind: str
    source: str


def find(machine: Machine, place: Place) -> List[Spot]:
    """Return the points where file systems of disks are mounted to be written."""
    before = place.path.partition("{mount}")[0]
    return [
        Spot(f"{before}{point}", point, place)
        for point, mount in _mounts(machine).items()
        if mount.source.startswith("/dev/") and mount.kind != "devtmpfs" and "ro" not in mount.options
    ]


def read(machine: Machine, path: str) -> str:
    """Return noatime, relatime or strictatime."""
    options = _mount(machine, path).options
    return next((word for word in _ATIME if word in options), "strictatime")


def write(machine: Machine, path: str, text: str) -> None:
    """Change that flag of one mount."""
    if text not in _ATIME:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    flags = sum(_FLAGS.get(option, 0) for option in _mount(machine, path).options)
    machine.call("mount_flags", _point(path), _REMOUNT_BIND | _ATIME[text] | flags)


def _mount(machine: Machine, path: str) -> Mount:
    try:
        return _mounts(machine)[_point(path)]
    except KeyError:
        raise OSError(errno.ENOENT, "it is not mounted any more") from None


def _point(path: str) -> str:
    return path.partition(":")[2]


def _mounts(machine: Machine) -> Dict[str, Mount]:
    """Return what is mounted where (proc(5), mountinfo: optional fields end with a dash)."""
    found: Dict[str, Mount] = {}
    for line in machine.read(_TABLE).splitlines():
        fields = line.split()
        kind, source = fields[fields.index("-", 6) + 1 :][:2]
        found[unescaped(fields[4])] = Mount(fields[5].split(","), kind, unescaped(source))
    return found
