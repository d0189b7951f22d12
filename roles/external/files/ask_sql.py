# ruff: noqa: INP001 - a script of the instance, no part of a package
"""Ask a MariaDB or a PostgreSQL of somebody else, as a descriptor needs it: `ask_sql.py KIND …`.

KIND is mysql (the server greets with its version, so nobody logs in) or postgresql, which tells it after the
login. HOST and PORT follow, for postgresql USER, DATABASE and the path of a password file as libpq has it,
and the verb: ping succeeds or fails, version is printed. Sources: MariaDB's "Initial handshake packet";
PostgreSQL's "Message Formats" and RFC 5802 (SCRAM). Runs on Python 3.9.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import socket
import struct
import sys
from pathlib import Path

SECONDS = 30
VERBS = ("ping", "version")
PROTOCOL = 196608  # PostgreSQL's 3.0
OK, CLEARTEXT, MD5, SASL, SASL_CONTINUE, SASL_FINAL = 0, 3, 5, 10, 11, 12


class ServerError(Exception):
    """What the server refused, or said that this script does not know."""


def receive(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = link.recv(size - len(data))
        if not more:
            raise ServerError("the server closed the connection")
        data += more
    return data


def mysql(link: socket.socket) -> str:
    """The version in the greeting, or the error that stands in its place."""
    data = receive(link, int.from_bytes(receive(link, 4)[:3], "little"))
    if data[0] == 0xFF:
        raise ServerError(data[3:].decode(errors="replace"))
    return data[1 : data.index(b"\0", 1)].decode().replace("5.5.5-", "", 1)  # for replicas of old times


def password(path: str) -> str:
    """The last field of the file's first line."""
    try:
        line = Path(path).read_text(encoding="utf-8").splitlines()[0]
    except FileNotFoundError:
        raise ServerError("the server wants a password, and none was given") from None
    return re.sub(r"\\(.)", r"\1", re.split(r"(?<!\\):", line)[-1])


def send(link: socket.socket, kind: bytes, body: bytes) -> None:
    link.sendall(kind + struct.pack(">i", len(body) + 4) + body)


def message(link: socket.socket) -> tuple[bytes, bytes]:
    kind, size = struct.unpack(">ci", receive(link, 5))
    body = receive(link, size - 4)
    if kind == b"E":
        fields = {part[:1]: part[1:].decode(errors="replace") for part in body.split(b"\0") if part}
        raise ServerError(fields.get(b"M", "it refuses"))
    return kind, body


def authentication(link: socket.socket, wanted: int) -> bytes:
    kind, body = message(link)
    if kind != b"R" or struct.unpack(">i", body[:4])[0] != wanted:
        raise ServerError("the server's login takes a way that is not known")
    return body[4:]


def scram(link: socket.socket, secret: str) -> None:
    """SCRAM-SHA-256; that the server knows the password too is not asked."""
    nonce = base64.b64encode(secrets.token_bytes(18)).decode()
    bare = f"n=,r={nonce}"
    first = f"n,,{bare}".encode()
    send(link, b"p", b"SCRAM-SHA-256\0" + struct.pack(">i", len(first)) + first)
    challenge = authentication(link, SASL_CONTINUE).decode()
    fields = dict(part.split("=", 1) for part in challenge.split(","))
    salted = hashlib.pbkdf2_hmac("sha256", secret.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
    key = hmac.digest(salted, b"Client Key", "sha256")
    without = f"c=biws,r={fields['r']}"
    signed = hmac.digest(hashlib.sha256(key).digest(), f"{bare},{challenge},{without}".encode(), "sha256")
    proof = base64.b64encode(bytes(one ^ other for one, other in zip(key, signed))).decode()  # noqa: B905 - 3.9
    send(link, b"p", f"{without},p={proof}".encode())
    authentication(link, SASL_FINAL)


def postgresql(link: socket.socket, user: str, database: str, passwords: str) -> str:
    """The version that the server tells after the login."""
    words = b"".join(word.encode() + b"\0" for word in ("user", user, "database", database)) + b"\0"
    link.sendall(struct.pack(">ii", len(words) + 8, PROTOCOL) + words)
    told = {}
    while True:
        kind, body = message(link)
        if kind == b"Z":
            return told["server_version"].split(" ")[0]
        if kind == b"S":
            name, value = body.decode().split("\0")[:2]
            told[name] = value
        if kind == b"R":
            log_in(link, body, user, passwords)


def log_in(link: socket.socket, body: bytes, user: str, passwords: str) -> None:
    (way,) = struct.unpack(">i", body[:4])
    if way == OK:
        return
    secret = password(passwords)
    if way == SASL:
        scram(link, secret)
    elif way == MD5:
        inner = hashlib.md5((secret + user).encode()).hexdigest()  # noqa: S324 - the server's way
        send(link, b"p", b"md5" + hashlib.md5(inner.encode() + body[4:]).hexdigest().encode() + b"\0")  # noqa: S324
    elif way == CLEARTEXT:
        send(link, b"p", secret.encode() + b"\0")
    else:
        raise ServerError(f"the server's login takes a way that is not known: {way}")


def main(kind: str, host: str, port: str, *words: str) -> None:
    *given, verb = words
    if verb not in VERBS:
        sys.exit(f"{verb!r} is none of {', '.join(VERBS)}")
    try:
        with socket.create_connection((host, int(port)), SECONDS) as link:
            version = {"mysql": mysql, "postgresql": postgresql}[kind](link, *given)
    except (OSError, ServerError, KeyError, ValueError, IndexError) as error:
        sys.exit(f"{host}:{port}: {verb}: {error}")
    sys.stdout.write(f"{version}\n" if verb == "version" else "")


if __name__ == "__main__":
    main(*sys.argv[1:])
