"""Ready probes: how a server shows that it takes requests: by a command, a port, a page or a line of its log.

Owns the kinds beside the command. A probe asks once, takes no longer than it is given, and says what is in
the way: nothing when the server is ready.
"""

import re
import socket
import time
from pathlib import Path
from typing import Callable, Dict, Optional

from benchctl.agent.refusal import RefusalError
from benchctl.agent.wire import Json

ATTEMPT = 5.0  # seconds that one attempt over the network may take
LOG_LIMIT = 1 << 20  # bytes of a log that one look reads at most
LINE_LIMIT = 64 * 1024  # bytes of a line of a log that are looked at
_MARK = "--- benchctl: {instance} starts at {time} ---\n"
_MARK_START = b"--- benchctl: "

Ask = Callable[[float], str]
LATE = "no answer in time"


def mark(instance: str) -> bytes:
    """Return the line that stands in a server's log before what one start wrote."""
    return _MARK.format(instance=instance, time=time.strftime("%Y-%m-%dT%H:%M:%S%z")).encode()


def since_start(text: str) -> str:
    """Return what stands after the last mark in a log's text."""
    _, found, after = text.rpartition(_MARK_START.decode())
    return after.partition("\n")[2] if found else text


def last_start(log: Path) -> int:
    """Return where the last start's output begins in a log, as far as its last part shows; else 0."""
    try:
        with log.open("rb") as file:
            end = file.seek(0, 2)
            base = file.seek(max(0, end - LOG_LIMIT))
            data = file.read()
    except OSError:
        return 0
    found = data.rfind(b"\n" + _MARK_START) + 1
    if not data.startswith(_MARK_START, found):
        return base
    return base + data.find(b"\n", found) + 1


class LogProbe:
    """Looks for a line in what a log has gained since the last look."""

    def __init__(self, log: Path, pattern: str, start: int) -> None:
        """Search from byte `start` on. Raises RefusalError for what is no regular expression."""
        try:
            self._pattern = re.compile(pattern)
        except re.error as error:
            raise RefusalError(f"ready.log is no regular expression: {pattern!r}: {error}") from error
        self._log = log
        self._at = start
        self._rest = b""

    def __call__(self, timeout: float) -> str:
        """Say nothing when a line matched; `timeout` is there for the others."""
        del timeout
        try:
            with self._log.open("rb") as file:
                file.seek(self._at)
                data = file.read(LOG_LIMIT)
        except OSError as error:
            return str(error.strerror)
        self._at += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[:LINE_LIMIT]
        found = (line[:LINE_LIMIT].decode("utf-8", "replace") for line in (*lines, self._rest))
        return "" if any(self._pattern.search(line) for line in found) else "no line of its output matches"


def port(part: Json) -> Ask:
    """Return a probe that connects to `port` of `host`, this one by default."""
    host, number = str(part.get("host") or "127.0.0.1"), part["port"]
    try:
        address = (host, int(number))
    except (TypeError, ValueError) as error:
        raise RefusalError(f"ready.port is no port: {number!r}") from error

    def ask(timeout: float) -> str:
        try:
            socket.create_connection(address, timeout=min(timeout, ATTEMPT)).close()
        except (OSError, OverflowError) as error:
            return _why(error)
        return ""

    return ask


def http(part: Json) -> Ask:
    """Return a probe that asks for a page and takes any answer below 400 for ready."""
    url = str(part["http"])
    from urllib.parse import urlsplit  # it loads much, and few services are asked so

    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or any(ord(letter) <= 32 for letter in url):
        raise RefusalError(f"ready.http is no http:// address: {url!r}")
    try:
        address = (parts.hostname, parts.port or 80)
    except ValueError as error:
        raise RefusalError(f"ready.http: {url!r}: {error}") from error
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    request = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode()

    def ask(timeout: float) -> str:
        deadline = time.monotonic() + min(timeout, ATTEMPT)
        try:
            with socket.create_connection(address, timeout=min(timeout, ATTEMPT)) as link:
                link.sendall(request)
                status = _status(link, deadline)
        except OSError as error:
            return _why(error)
        if status in range(200, 400):
            return ""
        return f"status {status}" if status else "no answer of HTTP"

    return ask


def _why(error: Exception) -> str:
    if isinstance(error, socket.timeout):
        return LATE
    return str(getattr(error, "strerror", None) or error)


def _status(link: socket.socket, deadline: float) -> int:
    """Read no more than a status line; 0 when there is none in time."""
    data = b""
    while b"\n" not in data and len(data) < 1024:
        left = deadline - time.monotonic()
        if left <= 0:
            return 0
        link.settimeout(left)
        more = link.recv(1024)
        if not more:
            break
        data += more
    found = re.match(rb"HTTP/1\.[01] ([0-9]{3})[ \r\n]", data)
    return int(found[1]) if found else 0


def of(part: Json, log: Path, start: Optional[int] = None) -> Optional[Ask]:
    """Return the probe that a `ready` asks for; None for a command, or for nothing to ask."""
    kinds: Dict[str, Callable[[], Ask]] = {
        "port": lambda: port(part),
        "http": lambda: http(part),
        "log": lambda: LogProbe(log, str(part["log"]), last_start(log) if start is None else start),
    }
    given = [name for name in (*kinds, "argv") if part.get(name) is not None]
    if len(given) > 1:
        raise RefusalError(f"ready has {' and '.join(given)}; it takes one of them")
    return kinds[given[0]]() if given and given[0] in kinds else None
