"""The raw channel: whole files in both directions, each with its size before it and its hash after it.

Owns the controller's half of that framing and its limits. Must not know what the files are for.
"""

from __future__ import annotations

import binascii
import contextlib
import hashlib
import json
import shutil
import zlib
from collections import deque
from typing import TYPE_CHECKING, Any

from benchctl.errors import AgentError, ConnectionLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchctl.benchmark.transport import Channel

LINE_LIMIT = 64 * 1024
FILE_LIMIT = 64 << 30  # bytes of one file that are fetched
CLOSE_TIMEOUT = 5.0
READ_LIMIT = 1 << 16  # bytes of a file that comes within a reply
_AHEAD = 24 * 1024  # bytes of requests sent ahead: they fit into any pipe, so that nobody waits for ever
_CHUNK = 1 << 18


class FileChannel:
    """One channel for one user at a time."""

    def __init__(self, host: str, channel: Channel, heard: Callable[[], None]) -> None:
        """Take over an open channel; `heard` is called whenever something arrives."""
        self._host = host
        self._channel = channel
        self._heard = heard
        self._buffer = b""

    def fetch_all(self, files: Sequence[tuple[str, Path]], done: list[str]) -> None:
        """Copy files of the host, from the one after those that are `done`; add each one's SHA-256 to it.

        A file appears under its name only when complete and checked; syncing it is the caller's. Raises
        AgentError when the host cannot read one, or the hashes or limits do not fit, ConnectionLostError when
        the channel ended.
        """
        waiting: deque[int] = deque()  # bytes of the requests under way
        upcoming = deque(files[len(done) :])
        for path, destination in files[len(done) :]:
            while upcoming and (not waiting or sum(waiting) < _AHEAD):
                line = json.dumps({"path": upcoming.popleft()[0]}).encode() + b"\n"
                self._send(line)
                waiting.append(len(line))
            done.append(self._fetch(path, destination))
            waiting.popleft()

    def put(self, source: Path, path: str, *, executable: bool) -> str:
        """Copy a file to the host, below the run's work folder. Raises as `fetch_all`."""
        with source.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
            file.seek(0)
            head = {"put": path, "size": size, "sha256": digest, "executable": executable}
            self._send(json.dumps(head).encode() + b"\n")
            while size:
                data = file.read(min(size, _CHUNK))
                if not data:
                    raise AgentError(f"{self._host}: {source} became shorter while it was sent")
                self._send(data)
                size -= len(data)
        if self._line(path, "sent")["sha256"] != digest:
            raise AgentError(f"{self._host}: {source} arrived damaged", remedy="send it again")
        return digest

    def abandon(self) -> None:
        """Close it in the middle of a file."""
        self._channel.process.terminate()
        self.close()

    def close(self) -> None:
        """Close it. Safe to repeat."""
        hang_up(self._channel)
        self._channel.stdout.close()

    def _fetch(self, path: str, destination: Path) -> str:
        size = self._size(path, destination)
        digest = hashlib.sha256()
        part = destination.with_name(destination.name + ".part")
        try:
            with part.open("wb") as file:
                while size:
                    data = self._some(min(size, _CHUNK))
                    digest.update(data)
                    file.write(data)
                    size -= len(data)
            if self._line(path)["sha256"] != digest.hexdigest():
                raise AgentError(f"{self._host}: {path} arrived damaged", remedy="repeat the trial")
            part.replace(destination)
        finally:
            part.unlink(missing_ok=True)
        return digest.hexdigest()

    def _size(self, path: str, destination: Path) -> int:
        size = self._line(path).get("size")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise ConnectionLostError(f"{self._host}: the file channel is out of step")
        if size > FILE_LIMIT:
            raise AgentError(f"{self._host}: {path} has {size} bytes; at most {FILE_LIMIT} are fetched")
        free = shutil.disk_usage(destination.parent).free
        if size > free:
            raise AgentError(
                f"{self._host}: {path} has {size} bytes, and {destination.parent} has room for {free}",
                remedy="make room or take another --workspace, then resume the run",
            )
        return size

    def _line(self, path: str, act: str = "fetched") -> dict[str, Any]:
        while b"\n" not in self._buffer:
            if len(self._buffer) > LINE_LIMIT:
                raise ConnectionLostError(f"{self._host}: the file channel is out of step")
            self._buffer += self._receive()
        line, self._buffer = self._buffer.split(b"\n", 1)
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or not {"error", "size", "sha256"} & answer.keys():
            raise ConnectionLostError(f"{self._host}: the file channel is out of step")
        if "error" in answer:
            raise AgentError(f"{self._host}: {path} cannot be {act}: {answer['error']}")
        return answer

    def _some(self, limit: int) -> bytes:
        data = self._buffer or self._receive()
        self._buffer = data[limit:]
        return data[:limit]

    def _send(self, data: bytes) -> None:
        try:
            write_all(self._channel, data)
        except (OSError, ValueError) as error:
            raise ConnectionLostError(f"{self._host}: the file channel takes nothing: {error}") from error

    def _receive(self) -> bytes:
        try:
            data = self._channel.stdout.read(_CHUNK)
        except (OSError, ValueError) as error:
            raise ConnectionLostError(f"{self._host}: the file channel broke: {error}") from error
        if not data:
            words = self._channel.process.last_words()
            raise ConnectionLostError(
                f"{self._host}: the file channel ended" + (f": {words}" if words else "")
            )
        self._heard()
        return data


def contents(reply: dict[str, Any]) -> dict[str, bytes]:
    """Return the files that a reply of `read` carries, by name; what arrived damaged is left out."""
    found = {}
    for entry in reply["read"]:
        unpacking = zlib.decompressobj()
        with contextlib.suppress(zlib.error, ValueError):
            content = unpacking.decompress(binascii.a2b_base64(entry["data"]), READ_LIMIT)
            if hashlib.sha256(content).hexdigest() == entry["sha256"]:
                found[entry["path"]] = content
    return found


def write_all(channel: Channel, data: bytes) -> None:
    """Write all bytes to a program's stdin. Raises OSError or ValueError when it takes no more."""
    view = memoryview(data)
    while view:
        view = view[channel.stdin.write(view) or 0 :]


def hang_up(channel: Channel) -> None:
    """Close a program's stdin and let it go, by force when it does not want to."""
    with contextlib.suppress(OSError):
        channel.stdin.close()
    if channel.process.wait(CLOSE_TIMEOUT) is None:
        channel.process.terminate()
    channel.process.last_words()
