"""Which units are active, asked of systemd itself over its own socket: a process for each question is dear.

Owns the few messages of D-Bus that it takes. Only root is answered; who is not asks systemctl.
"""

import os
import socket
import struct
from typing import BinaryIO, FrozenSet, List, Tuple

SOCKET = "/run/systemd/private"
_LIMIT = 10.0  # seconds for an answer
_BLOCK = 8  # bytes to which structures are aligned; numbers to four
_CALL, _RETURN, _ERROR = 1, 2, 3  # types of a message; signals may come in between
_HEAD = 16  # bytes: byte order, type, flags, version, lengths of body and header, serial
_STRINGS_OF_UNIT = (
    7  # name, description, load, active and sub state, followed, path; then job: number, type, path
)


def active_units(pattern: str) -> FrozenSet[str]:
    """Return the active units that match a pattern. Raises OSError where systemd does not answer us."""
    call = _call("ListUnitsByPatterns", "asas", _array(["active"]) + _array([pattern]))
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(_LIMIT)
        link.connect(SOCKET)
        link.sendall(f"\0AUTH EXTERNAL {str(os.getuid()).encode().hex()}\r\nBEGIN\r\n".encode())
        with link.makefile("rb") as file:
            said = file.readline()
            if not said.startswith(b"OK "):
                raise OSError(f"{SOCKET}: {said.decode(errors='replace').strip()}")
            link.sendall(call)
            return frozenset(_units(*_reply(file)))


def _call(member: str, signature: str, body: bytes) -> bytes:
    """Return a message to systemd's manager, in little endian."""
    texts = (
        (1, b"o", "/org/freedesktop/systemd1"),
        (2, b"s", "org.freedesktop.systemd1.Manager"),
        (3, b"s", member),
    )
    fields = b""
    for code, kind, text in texts:
        fields = _aligned(fields, _BLOCK) + struct.pack("<BB1sB", code, 1, kind, 0) + _text(text)
    fields = _aligned(fields, _BLOCK) + struct.pack("<BB1sBB", 8, 1, b"g", 0, len(signature))
    fields += signature.encode() + b"\0"
    head = struct.pack("<4BIII", ord("l"), _CALL, 0, 1, len(body), 1, len(fields))
    return _aligned(head + fields, _BLOCK) + body


def _array(texts: List[str]) -> bytes:
    data = b""
    for text in texts:
        data = _aligned(data, 4) + _text(text)
    return _aligned(struct.pack("<I", len(data)) + data, 4)


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<I", len(data)) + data + b"\0"


def _aligned(data: bytes, size: int) -> bytes:
    return data + bytes(-len(data) % size)


def _reply(file: BinaryIO) -> Tuple[bytes, str]:
    """Return the body of the answer to the one call, and its byte order as struct names it."""
    while True:
        head = _exactly(file, _HEAD)
        order = "<" if head[:1] == b"l" else ">"
        kind, body, fields = struct.unpack(f"{order}xB2xI4xI", head)
        _exactly(file, fields + -fields % _BLOCK)
        found = _exactly(file, body)
        if kind == _ERROR:
            raise OSError(f"{SOCKET}: {found.decode(errors='replace')}")
        if kind == _RETURN:
            return found, order


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise OSError(f"{SOCKET}: it ends in the middle of an answer")
    return data


def _units(body: bytes, order: str) -> List[str]:
    """Return the names in an array of units."""
    (size,) = struct.unpack_from(f"{order}I", body)
    names, at = [], _BLOCK
    while at < _BLOCK + size:
        at += -at % _BLOCK
        name, at = _string(body, at, order)
        names.append(name)
        for _ in range(_STRINGS_OF_UNIT - 1):
            at = _string(body, at, order)[1]
        at += -at % 4 + 4
        for _ in range(2):
            at = _string(body, at, order)[1]
    return names


def _string(body: bytes, at: int, order: str) -> Tuple[str, int]:
    at += -at % 4
    (size,) = struct.unpack_from(f"{order}I", body, at)
    at += 4
    return body[at : at + size].decode(), at + size + 1
