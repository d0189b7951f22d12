"""A file of lines that keeps to a size: the oldest lines make room for new ones, but for those that stay.

Owns the file's parts while it grows: two halves, of which the older one goes as a whole. At the end it is one
file again, and its first line tells how many lines are gone.
"""

import json
import os
import shutil
from pathlib import Path
from typing import List

from benchctl.agent.wire import Json

_FLUSH_LINES = 16


class Ring:
    """`head` becomes the first line; beside it and what stays, the file holds at most `limit` bytes."""

    def __init__(self, path: Path, head: Json, limit: int) -> None:
        """Begin the file anew. Raises OSError."""
        self.dropped = 0  # lines
        self._path = path
        self._old = path.with_name(f"{path.name}.old")
        self._head = {**head, "limit": limit}
        self._half = limit // 2
        self._turns = 0
        self._out = path.open("w", encoding="ascii")
        self._waiting = [json.dumps(self._head)]
        self._size = self._count = self._old_count = 0
        self._staying: List[str] = []  # of this half
        self._old_staying: List[str] = []
        self._kept: List[str] = []  # of the halves that are gone

    def add(self, line: str, *, stays: bool = False) -> None:
        """Append a line; one that stays is there at the end, whatever comes after it."""
        if self._count and self._size + len(line) >= self._half:
            self._turn()
        self._waiting.append(line)
        self._size += len(line) + 1
        self._count += 1
        if stays:
            self._staying.append(line)
        if len(self._waiting) >= _FLUSH_LINES:
            self._flush()

    def close(self) -> None:
        """Write what is left, as one file."""
        self._flush()
        self._out.close()
        if self._turns:
            self._join()

    def _turn(self) -> None:
        """Let the older half go, and begin a new one."""
        self._flush()
        self._out.close()
        self._kept += self._old_staying
        self.dropped += self._old_count - len(self._old_staying)
        self._old_count, self._old_staying = self._count, self._staying
        self._path.replace(self._old)
        self._out = self._path.open("w", encoding="ascii")
        self._staying = []
        self._size = self._count = 0
        self._turns += 1

    def _join(self) -> None:
        whole = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        with whole.open("wb") as out:
            if self._turns > 1:  # else the head is in the older half
                lines = [json.dumps({**self._head, "dropped": self.dropped}), *self._kept]
                out.write("\n".join(lines).encode() + b"\n")
            for path in (self._old, self._path):
                with path.open("rb") as part:
                    shutil.copyfileobj(part, out)
        whole.replace(self._path)
        self._old.unlink()

    def _flush(self) -> None:
        if self._waiting:
            self._out.write("\n".join(self._waiting) + "\n")
            self._out.flush()
            self._waiting = []
