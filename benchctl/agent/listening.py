"""Who listens at a TCP port of this host, so that a server that cannot start says who is in its way.

Must not connect to anybody, nor end what it finds.
"""

import contextlib
import os
from pathlib import Path
from typing import Optional, Set

_PROC = Path("/proc")
_LISTEN = "0A"  # the state in /proc/net/tcp


def at(port: int) -> Optional[str]:
    """Return the process that listens at a port, at any address; None when nobody does."""
    sockets = _sockets(port)
    if not sockets:
        return None
    for folder in _PROC.glob("[0-9]*"):
        if sockets & _open_by(folder):
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").split()
            return f"process {folder.name} ({' '.join(words)[:100]})"
    return "a process of another user"


def _sockets(port: int) -> Set[str]:
    found = set()
    for name in ("tcp", "tcp6"):
        try:
            lines = (_PROC / "net" / name).read_text().splitlines()[1:]
        except FileNotFoundError:  # a kernel without IPv6
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found


def _open_by(folder: Path) -> Set[str]:
    found = set()
    with contextlib.suppress(OSError):  # it has ended, or belongs to another user
        for name in os.listdir(folder / "fd"):  # noqa: PTH208 - names are enough
            with contextlib.suppress(OSError):  # closed meanwhile
                found.add(os.readlink(folder / "fd" / name))  # noqa: PTH115 - its text, no path
    return found
