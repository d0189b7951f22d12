"""One request for short wake-ups, which the kernel keeps as long as a process holds its file open.

Owns that process: who asks starts it, and it lives until the request is given back or the host goes down.
"""

import os
import signal
import struct
import sys
from pathlib import Path
from typing import Optional

from benchctl.agent import detached

FILE = "/dev/cpu_dma_latency"
FREE = "free"
_NAME = "hold"


class Holder:
    """The process that holds the request; its note lies in the host's state folder."""

    def __init__(self, folder: Path) -> None:
        """Refer to the one of a state folder; nothing is started."""
        self._folder = folder

    def held(self) -> str:
        """Return the µs that are requested, or free."""
        noted = detached.find(self._folder, _NAME)
        return str(noted.get("us")) if noted else FREE

    def hold(self, root: str, us: str) -> None:
        """Start the process. Raises OSError when it cannot hold the request."""
        detached.start(self._folder, _NAME, ["--root", root or "/", "--us", us, "--state", str(self._folder)])

    def release(self) -> None:
        """End it. Safe to repeat."""
        detached.stop(self._folder, _NAME)


def hold(folder: Path, root: str, us: int, ready: Optional[int]) -> int:
    """Be that process, until a signal; `ready` is told when the request holds. Returns the exit status."""
    try:
        handle = os.open(root.rstrip("/") + FILE, os.O_WRONLY | os.O_CLOEXEC)
        os.write(handle, struct.pack("=i", us))
    except OSError as error:
        sys.stderr.write(f"{FILE}: {error.strerror}\n")
        return 1
    detached.note(folder, _NAME, {"us": us})
    if ready is not None:
        os.write(ready, detached.READY)
        os.close(ready)
    while True:
        signal.pause()
