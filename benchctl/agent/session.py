"""What one controller asked for and was answered, so that a connection may break and nothing happens twice.

Owns the numbers of a session's requests. Must not know what they mean.
"""

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Optional, Set

if TYPE_CHECKING:
    from benchctl.agent.connection import Connection
    from benchctl.agent.wire import Json

REPLIES_KEPT = 128


class Session:
    """One controller, over all its connections."""

    def __init__(self) -> None:
        """Begin without a connection."""
        self.connection: Optional["Connection"] = None
        self._lock = threading.Lock()
        self._running: Set[int] = set()
        self._replies: "OrderedDict[int, Json]" = OrderedDict()
        self._forgotten = 0  # the highest number whose reply is not kept any more

    def admit(self, number: int) -> Optional["Json"]:
        """Return None for a request to be executed now; for one known already its reply, or {} until then."""
        with self._lock:
            if number in self._replies:
                return self._replies[number]
            if number in self._running:
                return {}
            if number <= self._forgotten:
                error = f"request {number} was answered long ago, and the answer is not kept"
                return {"id": number, "ok": False, "error": error, "kind": "internal"}
            self._running.add(number)
        return None

    def finish(self, number: int, reply: "Json") -> None:
        """Keep a reply and send it over the connection there is; without one it waits to be asked for."""
        with self._lock:
            self._running.discard(number)
            self._replies[number] = reply
            while len(self._replies) > REPLIES_KEPT:
                self._forgotten = max(self._forgotten, self._replies.popitem(last=False)[0])
            connection = self.connection
        if connection is not None:
            connection.send(reply)
