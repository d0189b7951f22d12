# ruff: noqa: INP001 - a script of the instance, no part of a package
"""Ask a MySQL server at its socket, without a client program: `ask_mysqld.py SOCKET STATEMENTS`.

The user is bench, who has no password there. Each row is a line on stdout, its values with tabs between them.
Sources: MySQL's "Client/Server Protocol" (Protocol::HandshakeResponse41, COM_QUERY). Runs on Python 3.9.
"""

from __future__ import annotations

import re
import socket
import struct
import sys

SECONDS = 3600  # counting all rows may take long; whoever calls has a limit of its own
USER = b"bench"
# CLIENT_PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION, MULTI_STATEMENTS, MULTI_RESULTS, PLUGIN_AUTH
CAPABILITIES = 0x200 | 0x2000 | 0x8000 | 0x10000 | 0x20000 | 0x80000
UTF8MB4 = 45
LARGEST = (1 << 24) - 1  # of a packet; what is longer comes in several
QUERY = b"\x03"
OK, EOF, ERROR, NULL = 0x00, 0xFE, 0xFF, 0xFB
MORE_RESULTS = 8
STATE = re.compile("^#(.{5})")
LENGTHS = {0xFC: 2, 0xFD: 3, 0xFE: 8}


class ServerError(Exception):
    """What the server refused, in its own words."""


class Link:
    """A connection that has logged in."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(SECONDS)
        self._socket.connect(path)
        self._stream = self._socket.makefile("rb")
        self._number = 0
        plugin = self.receive().rstrip(b"\0").rpartition(b"\0")[2]  # the last word of the greeting
        head = struct.pack("<IIB23x", CAPABILITIES, LARGEST, UTF8MB4)
        self.send(head + USER + b"\0" + b"\0" + plugin + b"\0")  # between them the password: none
        while self.receive()[0] != OK:
            self.send(b"")  # another way to log in is asked for, without a password as well

    def receive(self) -> bytes:
        data = b""
        while True:
            head = self._read(4)
            size, self._number = int.from_bytes(head[:3], "little"), head[3]
            data += self._read(size)
            if size < LARGEST:
                break
        if data[:1] == bytes([ERROR]):
            (code,) = struct.unpack_from("<H", data, 1)
            said = STATE.sub(r"(\1): ", data[3:].decode(errors="replace"))
            raise ServerError(f"ERROR {code} {said}")
        return data

    def _read(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) < size:
            raise ServerError("the server closed the connection")
        return data

    def send(self, data: bytes) -> None:
        self._number += 1
        self._socket.sendall(len(data).to_bytes(3, "little") + bytes([self._number % 256]) + data)

    def query(self, statements: str) -> list[list[str]]:
        """The rows of all statements."""
        self._number = -1
        self.send(QUERY + statements.encode())
        rows = []
        more = True
        while more:
            more, found = self._result()
            rows += found
        return rows

    def _result(self) -> tuple[bool, list[list[str]]]:
        """Whether another result follows, and the rows of this one."""
        answer = self.receive()
        if answer[0] == OK:
            _, at = length(answer, 1)
            _, at = length(answer, at)
            return has_more(answer, at), []
        columns, _ = length(answer, 0)
        for _ in range(columns + 1):  # the last ends them
            self.receive()
        rows = []
        while not is_end(data := self.receive()):
            rows.append(values(data, columns))
        return has_more(data, 3), rows


def is_end(data: bytes) -> bool:
    return data[0] == EOF and len(data) < 9


def has_more(data: bytes, at: int) -> bool:
    return bool(struct.unpack_from("<H", data, at)[0] & MORE_RESULTS)


def length(data: bytes, at: int) -> tuple[int, int]:
    """A number as the protocol packs it, and where it ends."""
    size = LENGTHS.get(data[at], 0)
    return (int.from_bytes(data[at + 1 : at + 1 + size], "little") if size else data[at]), at + 1 + size


def values(data: bytes, columns: int) -> list[str]:
    found, at = [], 0
    for _ in range(columns):
        if data[at] == NULL:
            found.append("NULL")
            at += 1
        else:
            size, at = length(data, at)
            found.append(data[at : at + size].decode())
            at += size
    return found


def main(path: str, statements: str) -> None:
    try:
        rows = Link(path).query(statements)
    except (OSError, ServerError) as error:
        sys.exit(f"{path}: {error}")
    sys.stdout.write("".join("\t".join(row) + "\n" for row in rows))


main(*sys.argv[1:])
