# ruff: noqa: INP001 - a script of the instance, no part of a package
"""Ask a running Cassandra by its own protocol, as a descriptor needs it: `ask_cassandra.py HOST PORT VERB`.

ping and keyspace (make the one of load generators) succeed or fail; settings, stats (tasks that each thread
pool has done) and version are printed, the first two as one JSON object. Source: native_protocol_v4.spec of
Cassandra. Runs on Python 3.9.
"""

from __future__ import annotations

import json
import socket
import struct
import sys

SECONDS = 60
STARTUP, QUERY = 1, 7
ERROR, READY, RESULT = 0, 2, 8
ROWS, SCHEMA_CHANGE = 2, 5
VERBS = ("keyspace", "ping", "settings", "stats", "version")
CONSISTENCY_ONE = 1
MORE_PAGES, ONE_TABLE = 2, 1
BIGINT, INT, VARCHAR = 2, 9, 13
SETTINGS = "SELECT name, value FROM system_views.settings"
POOLS = "SELECT name, completed_tasks FROM system_views.thread_pools"
VERSION = "SELECT release_version FROM system.local"
KEYSPACE = "CREATE KEYSPACE bench WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"


class CassandraError(Exception):
    """What the server refused, or said that this script does not know."""


class Body:
    """The body of a frame, read from its beginning."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        found = self._data[self._at : self._at + size]
        if len(found) < size:
            raise CassandraError("the server's answer ends early")
        self._at += size
        return found

    def short(self) -> int:
        return struct.unpack(">H", self.take(2))[0]

    def int(self) -> int:
        return struct.unpack(">i", self.take(4))[0]

    def string(self) -> str:
        return self.take(self.short()).decode()

    def value(self) -> bytes | None:
        size = self.int()
        return None if size < 0 else self.take(size)


class Link:
    """A connection that has started."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), SECONDS)
        words = ("CQL_VERSION", "3.0.0")
        body = struct.pack(">H", 1) + b"".join(struct.pack(">H", len(w)) + w.encode() for w in words)
        if self._exchange(STARTUP, body)[0] != READY:
            raise CassandraError("the server wants a login")

    def query(self, text: str) -> list[list[str | int | None]]:
        """Return the rows of a query for columns of text and whole numbers."""
        answer = self._ask(text, ROWS)
        types = columns(answer)
        return [[convert(kind, answer.value()) for kind in types] for _ in range(answer.int())]

    def change(self, text: str) -> None:
        """Change the schema."""
        self._ask(text, SCHEMA_CHANGE)

    def _ask(self, text: str, wanted: int) -> Body:
        body = struct.pack(">i", len(text)) + text.encode() + struct.pack(">HB", CONSISTENCY_ONE, 0)
        kind, answer = self._exchange(QUERY, body)
        if kind != RESULT or answer.int() != wanted:
            raise CassandraError(f"{text}: gives another kind of result")
        return answer

    def _exchange(self, opcode: int, body: bytes) -> tuple[int, Body]:
        self._socket.sendall(struct.pack(">BBhBi", 4, 0, 0, opcode, len(body)) + body)
        _, flags, _, kind, size = struct.unpack(">BBhBi", self._receive(9))
        answer = Body(self._receive(size))
        if flags:
            raise CassandraError(f"the server's answer has flags {flags}")
        if kind == ERROR:
            code = answer.int()
            raise CassandraError(f"{answer.string()} ({code:#06x})")
        return kind, answer

    def _receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._socket.recv(size - len(data))
            if not more:
                raise CassandraError("the server closed the connection")
            data += more
        return data


def columns(answer: Body) -> list[int]:
    """Return the types of the columns; a table that comes in pages is an error."""
    flags, count = answer.int(), answer.int()
    if flags & MORE_PAGES:
        raise CassandraError("the answer has several pages")
    if flags & ONE_TABLE:
        answer.string(), answer.string()
    types = []
    for _ in range(count):
        if not flags & ONE_TABLE:
            answer.string(), answer.string()
        answer.string()
        types.append(answer.short())
    return types


def convert(kind: int, value: bytes | None) -> str | int | None:
    if value is None:
        return None
    if kind == VARCHAR:
        return value.decode()
    if kind in (BIGINT, INT):
        return int.from_bytes(value, "big", signed=True)
    raise CassandraError(f"a column has type {kind:#06x}")


def act(host: str, port: int, verb: str) -> str:
    link = Link(host, port)
    if verb == "keyspace":
        link.change(KEYSPACE)
        return ""
    if verb == "settings":
        return json.dumps({name: value for name, value in link.query(SETTINGS) if value is not None})
    if verb == "stats":
        return json.dumps({f"{name}.completed": done for name, done in link.query(POOLS)})
    return str(link.query(VERSION)[0][0])


def main(host: str, port: str, verb: str) -> None:
    if verb not in VERBS:
        sys.exit(f"{verb!r} is none of {', '.join(VERBS)}")
    try:
        sys.stdout.write(act(host, int(port), verb) + "\n")
    except (OSError, CassandraError) as error:
        sys.exit(f"{host}:{port}: {verb}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
