"""Room on the host's disks: what is free, and errors that say how much was wanted and where.

Must not remove anything: whoever ran out of room gives its own files back.
"""

import errno
import os
import re
import shutil
from pathlib import Path

from benchctl.agent.refusal import RefusalError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_SAID = re.compile(r"No space left on device|Disk quota exceeded|errno: 28\b|The table '[^']*' is full")


def free(folder: Path) -> int:
    """Return how many bytes this user may still write below a folder, which need not be there yet."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(there).free


def require(folder: Path, wanted: int, what: str) -> None:
    """Raise RefusalError unless there are `wanted` bytes for `what`."""
    there = free(folder)
    if there < wanted:
        raise full(folder, f"{what} needs {size(wanted)}", there)


def full(folder: Path, wanted: str, there: int, log: str = "") -> RefusalError:
    """Return the error for a disk without room; `wanted` says what for, `there` is what was free."""
    return RefusalError(
        f"{folder}: no space left: {wanted}, and {size(there)} are free; free some, or set BENCHCTL_CACHE to"
        " a folder on a larger disk",
        "unfit",
        log,
    )


def is_lack(error: BaseException) -> bool:
    """Say whether an error comes from a full disk, ours or that of a program that was run."""
    if isinstance(error, OSError):
        return error.errno in _FULL
    return isinstance(error, RefusalError) and bool(_SAID.search(f"{error}\n{error.log}"))


def taken(folder: Path) -> int:
    """Return the bytes of all files below a folder, as far as they can be seen."""
    sizes = []
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                sizes.append(os.lstat(os.path.join(where, name)).st_size)  # noqa: PTH118 - thousands of files
            except FileNotFoundError:  # a server beside us may still be at work
                continue
    return sum(sizes)


def size(number: int) -> str:
    """Return bytes for a person and for a program."""
    return f"{number / 2**20:.1f} MiB ({number} bytes)"
