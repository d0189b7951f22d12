"""Copies of a folder: its blocks shared where the file system can (FICLONE), or each byte written again.

Must not decide which of the two is wanted.
"""

import errno
import fcntl
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from benchctl.agent import room
from benchctl.agent.refusal import RefusalError

_FICLONE = 0x40049409
_NO_REFLINK = (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM)


class Clone(NamedTuple):
    """How a tree was copied: `reflink` or `copy`, and why not by reflink where that was wanted."""

    method: str
    why: str


def clone(source: Path, target: Path, wanted: int, *, share: bool) -> Clone:
    """Copy a tree of `wanted` bytes; share the blocks if `share` and the file system can.

    Raises RefusalError when there is no room; what was copied until then is left to the caller.
    """
    copier = _Copier(target, wanted, share=share)
    if not share:
        room.require(target, wanted, "the copy of the data image")
    shutil.copytree(source, target, symlinks=True, copy_function=copier.copy)
    return Clone("reflink" if copier.shares else "copy", copier.why)


class _Copier:
    """Copies file by file; one that cannot be shared says that none can."""

    def __init__(self, folder: Path, wanted: int, *, share: bool) -> None:
        self.shares = share
        self.why = ""
        self._folder = folder
        self._wanted = wanted

    def copy(self, source: str, target: str) -> str:
        try:
            self._copy(source, target)
        except OSError as error:  # copytree would gather one for each file that is left
            if room.is_lack(error):
                wanted = f"the copy of the data image needs {room.size(self._wanted)}"
                raise room.full(self._folder, wanted, room.free(self._folder)) from error
            raise RefusalError(
                f"{target}: the data image cannot be copied: {error.strerror}", "internal"
            ) from error
        return target

    def _copy(self, source: str, target: str) -> None:
        with open(source, "rb") as origin, open(target, "xb") as copy:  # noqa: PTH123 - copytree's own strings
            os.fchmod(copy.fileno(), os.fstat(origin.fileno()).st_mode)
            if self.shares and self._is_shared(origin.fileno(), copy.fileno()):
                return
            left = os.fstat(origin.fileno()).st_size
            while left > 0 and (sent := os.sendfile(copy.fileno(), origin.fileno(), None, left)):
                left -= sent

    def _is_shared(self, origin: int, copy: int) -> bool:
        try:
            fcntl.ioctl(copy, _FICLONE, origin)
        except OSError as error:
            if error.errno not in _NO_REFLINK:
                raise
            self.shares = False
            self.why = f"its file system shares no blocks: {error.strerror}"
            room.require(self._folder, self._wanted, "the copy of the data image")
            return False
        return True
