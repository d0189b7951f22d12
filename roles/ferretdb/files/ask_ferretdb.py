# ruff: noqa: INP001 - a script of the instance, no part of a package
"""Ask a running FerretDB by MongoDB's protocol, as a descriptor needs it: `ask_ferretdb.py HOST PORT VERB`.

ping succeeds or fails; version, stats (the numbers of serverStatus) and settings are printed, the last two as
one JSON object. FerretDB tells none of its settings: they are the arguments of the process that it says it
is. Source: the MongoDB wire protocol's OP_MSG, bsonspec.org. Runs on Python 3.9.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
from pathlib import Path

SECONDS = 60
VERBS = ("ping", "settings", "stats", "version")
OP_MSG = 2013
DOUBLE, STRING, DOCUMENT, ARRAY, BINARY, BOOLEAN, DATE, NULL, INT32, INT64 = (
    *(1, 2, 3, 4, 5),
    *(8, 9, 10, 16, 18),
)
NUMBERS = {DOUBLE: "<d", DATE: "<q", INT32: "<i", INT64: "<q"}


class FerretError(Exception):
    """What the server refused, or said that this script does not know."""


def name_of(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(b"\0", at)
    return data[at:end].decode(), end + 1


def sized(data: bytes, at: int) -> int:
    return struct.unpack_from("<i", data, at)[0]


def value(kind: int, data: bytes, at: int) -> tuple[object, int]:
    """One value of BSON, and where it ends."""
    if kind in NUMBERS:
        return struct.unpack_from(NUMBERS[kind], data, at)[0], at + struct.calcsize(NUMBERS[kind])
    if kind == STRING:
        size = sized(data, at)
        return data[at + 4 : at + 3 + size].decode(), at + 4 + size
    if kind in (DOCUMENT, ARRAY):
        return document(data, at), at + sized(data, at)
    if kind == BINARY:
        return None, at + 5 + sized(data, at)
    if kind == BOOLEAN:
        return bool(data[at]), at + 1
    if kind == NULL:
        return None, at
    raise FerretError(f"the answer has a value of type {kind:#04x}")


def document(data: bytes, at: int) -> dict:
    """A document of BSON; an array has numbers for names."""
    found, end = {}, at + sized(data, at) - 1
    at += 4
    while at < end:
        kind = data[at]
        name, at = name_of(data, at + 1)
        found[name], at = value(kind, data, at)
    return found


def command(name: str) -> bytes:
    """`{name: 1, "$db": "admin"}` as BSON."""
    words = bytes([INT32]) + name.encode() + b"\0" + struct.pack("<i", 1)
    words += bytes([STRING]) + b"$db\0" + struct.pack("<i", 6) + b"admin\0"
    return struct.pack("<i", len(words) + 5) + words + b"\0"


def receive(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = link.recv(size - len(data))
        if not more:
            raise FerretError("the server closed the connection")
        data += more
    return data


def ask(link: socket.socket, name: str) -> dict:
    body = struct.pack("<iB", 0, 0) + command(name)
    link.sendall(struct.pack("<iiii", 16 + len(body), 1, 0, OP_MSG) + body)
    size, _, _, kind = struct.unpack("<iiii", receive(link, 16))
    data = receive(link, size - 16)
    if kind != OP_MSG or data[4]:
        raise FerretError("the answer is no message with one document")
    found = document(data, 5)
    if found.get("ok") != 1:
        raise FerretError(f"{name}: {found.get('errmsg')}")
    return found


def numbers(found: dict, before: str = "") -> dict[str, float]:
    """Every number in a document, by its path."""
    flat = {}
    for name, part in found.items():
        if isinstance(part, dict):
            flat.update(numbers(part, f"{before}{name}."))
        elif isinstance(part, (int, float)) and not isinstance(part, bool):
            flat[before + name] = part
    return flat


def arguments(pid: int) -> dict[str, str]:
    """The flags of a process."""
    words = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")
    return dict(word[2:].partition("=")[::2] for word in words if word.startswith("--"))


def act(link: socket.socket, verb: str) -> str:
    if verb == "ping":
        return str(ask(link, "ping")["ok"])
    if verb == "version":
        return ask(link, "buildInfo")["ferretdbVersion"].lstrip("v")
    status = ask(link, "serverStatus")
    return json.dumps(numbers(status) if verb == "stats" else arguments(status["pid"]))


def main(host: str, port: str, verb: str) -> None:
    if verb not in VERBS:
        sys.exit(f"{verb!r} is none of {', '.join(VERBS)}")
    try:
        with socket.create_connection((host, int(port)), SECONDS) as link:
            sys.stdout.write(act(link, verb) + "\n")
    except (OSError, FerretError, KeyError, ValueError, struct.error) as error:
        sys.exit(f"{host}:{port}: {verb}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
