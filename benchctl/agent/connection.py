"""One connection of a controller: its stdin and stdout, which an attacher handed over.

Owns the file descriptors and the writing of replies. Must not know which requests they answer.
"""

import contextlib
import json
import os
import select
import socket
import threading
from typing import Optional

from benchctl.agent import files
from benchctl.agent.layout import LINE_LIMIT
from benchctl.agent.session import Session
from benchctl.agent.wire import Json

_RUN_ENDED = b"\0"


class Connection:
    """A controller's stdin and stdout, and the `link` to the attacher that waits at the other end."""

    def __init__(self, link: socket.socket, reading: int, writing: int, session: Session) -> None:
        """Own the three, for a session that may have had other connections before."""
        self.link = link
        self.reading = reading
        self.writing = writing
        self.session = session
        self.buffer = b""
        self._lock = threading.Lock()
        self._open = True
        self._poll = select.poll()
        self._poll.register(writing, select.POLLOUT)

    def send(self, answer: Json) -> None:
        """Write one reply; a controller that is gone is not an error, the result is kept."""
        line = _line(answer)
        with self._lock, contextlib.suppress(OSError):
            if self._open:
                files.write_all(self.writing, line)

    def send_now(self, answer: Json) -> bool:
        """Write one short reply if that does not have to wait; say whether it was written."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if not self._open or not self._poll.poll(0):
                return False
            with contextlib.suppress(OSError):
                files.write_all(self.writing, _line(answer))  # a pipe that is ready takes PIPE_BUF at once
        finally:
            self._lock.release()
        return True

    def close(self, last: Optional[Json] = None) -> None:
        """Give everything back and let the attacher go, after a last word."""
        if last is not None:
            self.send(last)
        with self._lock:
            if not self._open:
                return
            self._open = False
            with contextlib.suppress(OSError):
                self.link.send(_RUN_ENDED)
            os.close(self.reading)
            os.close(self.writing)
            self.link.close()


def _line(answer: Json) -> bytes:
    line = json.dumps(answer, separators=(",", ":")).encode() + b"\n"
    if len(line) <= LINE_LIMIT:
        return line
    error = f"the reply has {len(line)} bytes of at most {LINE_LIMIT}"
    short = {"id": answer.get("id"), "ok": False, "error": error, "kind": "internal"}
    return json.dumps(short).encode() + b"\n"
