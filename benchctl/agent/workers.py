"""Threads that do one piece of work after the other: a request does not wait for a new one to be born.

Owns how many there are. Must not know what the work is.
"""

import queue
import threading
from typing import Callable, Tuple

_Work = Tuple[Callable[..., None], Tuple[object, ...]]


class Workers:
    """At most `limit` pieces of work at once, each in a thread of its own while it lasts."""

    def __init__(self, limit: int) -> None:
        """Start none yet."""
        self._limit = limit
        self._lock = threading.Lock()
        self._all = 0
        self._idle = 0
        self._work: "queue.SimpleQueue[_Work]" = queue.SimpleQueue()

    def do(self, act: Callable[..., None], *args: object) -> bool:
        """Have it done by an idle thread or a new one; False when all are at work."""
        with self._lock:
            if self._idle:
                self._idle -= 1
            elif self._all < self._limit:
                self._all += 1
                threading.Thread(target=self._live, name=f"worker-{self._all}", daemon=True).start()
            else:
                return False
        self._work.put((act, args))
        return True

    def _live(self) -> None:
        while True:
            act, args = self._work.get()
            try:
                act(*args)
            finally:
                with self._lock:
                    self._idle += 1
            del act, args  # nothing of a finished request stays
