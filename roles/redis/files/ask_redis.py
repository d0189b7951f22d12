# ruff: noqa: INP001 - a script of the instance, no part of a package
"""Ask a running Redis or Valkey, as a descriptor needs it: `ask_redis.py PLACE VERB`.

PLACE is the path of its Unix socket, or HOST:PORT.
ping and save succeed or fail; settings (CONFIG GET), stats (the numbers of INFO), contents (each database's
keys) and version are printed, the first three as one JSON object. redis-cli has no such output in
every version. Runs on Python 3.9.
"""

from __future__ import annotations

import json
import socket
import sys

SECONDS = 300
VERBS = ("contents", "ping", "save", "settings", "stats", "version")


class RedisError(Exception):
    """What the server refused."""


def send(file: object, *words: str) -> object:
    parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
    file.write(f"*{len(words)}\r\n{''.join(parts)}".encode())
    file.flush()
    return receive(file)


def receive(file: object) -> object:
    """One reply of the protocol RESP 2."""
    line = file.readline()
    if not line.endswith(b"\r\n"):
        raise RedisError("the server closed the connection")
    kind, rest = line[:1], line[1:-2].decode(errors="replace")
    if kind == b"-":
        raise RedisError(rest)
    if kind == b"$":
        size = int(rest)
        return None if size < 0 else file.read(size + 2)[:-2].decode(errors="backslashreplace")
    if kind == b"*":
        return [receive(file) for _ in range(int(rest))]
    return int(rest) if kind == b":" else rest


def pairs(text: str) -> dict[str, str]:
    lines = (line.partition(":") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: value for name, _, value in lines}


def number(text: str) -> float | None:
    try:
        return float(text) if any(letter.isdigit() for letter in text) else None
    except ValueError:
        return None


def counters(text: str) -> dict[str, float]:
    """Every number of INFO; those of one command or database as name.field."""
    found = {}
    for name, value in pairs(text).items():
        fields = [part.partition("=") for part in value.split(",")] if "=" in value else [("", "", value)]
        for field, _, word in fields:
            amount = number(word)
            if amount is not None:
                found[f"{name}.{field}" if field else name] = amount
    return found


def act(file: object, verb: str) -> str:
    if verb == "settings":
        flat = send(file, "CONFIG", "GET", "*")
        return json.dumps({flat[at]: flat[at + 1] for at in range(0, len(flat), 2)})
    if verb == "stats":
        return json.dumps(counters(send(file, "INFO", "everything")))
    if verb == "contents":
        found = counters(send(file, "INFO", "keyspace"))
        return json.dumps({name: int(keys) for name, keys in found.items() if name.endswith(".keys")})
    if verb == "version":
        found = pairs(send(file, "INFO", "server"))
        return found.get("valkey_version", found["redis_version"])
    return str(send(file, verb.upper()))


def connect(place: str) -> socket.socket:
    if not place.startswith("/"):
        host, _, port = place.rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), SECONDS)
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(SECONDS)
    link.connect(place)
    return link


def main(place: str, verb: str) -> None:
    if verb not in VERBS:
        sys.exit(f"{verb!r} is none of {', '.join(VERBS)}")
    try:
        with connect(place) as link:
            sys.stdout.write(act(link.makefile("rwb"), verb) + "\n")
    except (OSError, RedisError, ValueError) as error:
        sys.exit(f"{place}: {verb}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
