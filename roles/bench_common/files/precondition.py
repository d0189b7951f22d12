# ruff: noqa: INP001 - a script that is passed to `python -c`, no part of a package
"""Bring an SSD into the state of one in use: all of it written, more than once. What is on it is gone then.

The argument is a JSON object: `device`; `destroys` (what is on it, in the words in which this script tells
it); `part` and `parts`, to write one of so many equal parts of it: the first begins a pass, and part
`parts` the second pass. Without them it only looks. The answer is why nothing was written, or nothing. A
disk that anything uses is refused: a mount, swap, a partition of it, a volume on it. Runs on Python 3.9,
as root.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import stat
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

MIB = 1 << 20
CHUNK = MIB
POOL = 64  # chunks of random bytes that take turns: a drive may compress, or keep what it has twice only once
BLKDISCARD, BLKGETSIZE64 = 0x1277, 0x80081272
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
NOTHING = 2  # blkid's status where it finds nothing


def main(wanted: dict) -> str:
    path, destroys, part = Path(wanted["device"]), wanted["destroys"], wanted.get("part")
    gone = bool(part)
    try:
        if not stat.S_ISBLK(path.stat().st_mode):
            return f"{path} is no block device"
        # EBUSY when anything uses it
        disk = os.open(path, os.O_RDWR | os.O_EXCL | os.O_DIRECT | os.O_CLOEXEC)
        try:
            size = struct.unpack("Q", fcntl.ioctl(disk, BLKGETSIZE64, bytes(8)))[0]
            which = identify(path.resolve(), size)
            holds = f"{which}, {describe(path)}"
            if destroys != holds and not (part and destroys.startswith(f"{which}, ")):
                return f'{path} would lose all that is on it; it holds "{holds}"'
            if part is not None:
                gone = True
                write(disk, size, part, wanted["parts"])
        finally:
            os.close(disk)
    except OSError as error:
        return f"{path}: {error.strerror}" + (f'; "{destroys}" is gone' if gone else "")
    return ""


def identify(path: Path, size: int) -> str:
    """Size, model and serial number."""
    about = Path("/sys/class/block", path.name, "device")
    names = [(about / name).read_text().strip() for name in ("model", "serial") if (about / name).is_file()]
    return ", ".join([amount(size), *filter(None, names)])


def describe(path: Path) -> str:
    """What blkid finds on the disk; writing removes that bit by bit."""
    asked = ["blkid", "--probe", "--output", "export", str(path)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    if done.returncode not in (0, NOTHING):
        raise OSError(done.returncode, f"blkid: {done.stderr.strip() or 'does not know what is there'}")
    found = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    label = f" labelled {found['LABEL']}" if "LABEL" in found else ""
    table = f"a {found['PTTYPE']} partition table" if "PTTYPE" in found else "nothing known"
    return (found.get("TYPE") or table) + label


def amount(size: float) -> str:
    power = max(power for power in range(len(UNITS)) if size >= 1024**power or power == 0)
    return f"{size / 1024**power:.1f} {UNITS[power]}"


def write(disk: int, size: int, part: int, parts: int) -> None:
    """Write one part past every cache; before the first of all, discard the disk."""
    if part == 0:
        with suppress(OSError):  # what has no flash has nothing to discard
            fcntl.ioctl(disk, BLKDISCARD, struct.pack("QQ", 0, size))
    pool = mmap.mmap(-1, POOL * CHUNK)  # O_DIRECT wants whole pages
    pool.write(os.urandom(POOL * CHUNK))
    view, place = memoryview(pool), part % parts
    at, end = (size * edge // parts // CHUNK * CHUNK for edge in (place, place + 1))
    end = size if place == parts - 1 else end
    while at < end:
        start = at // CHUNK % POOL * CHUNK
        at += os.pwrite(disk, view[start : start + min(CHUNK - at % CHUNK, end - at)], at)
    os.fsync(disk)


sys.stdout.write(main(json.loads(sys.argv[1])))
