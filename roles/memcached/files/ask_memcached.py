# ruff: noqa: INP001 - a script of the instance, no part of a package
"""Ask a running memcached by its own protocol, as a descriptor needs it: `ask_memcached.py PLACE VERB`.

PLACE is a socket's path or HOST:PORT. ping succeeds or fails; settings, stats (the numbers of `stats`) and
version are printed, the first two as one JSON object. Runs on Python 3.9.

Settings go by the names of the command line's options, as they were given: what the server tells of itself
(`stats settings`) has other names and units. What it does not tell is taken from its process.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

SECONDS = 60
VERBS = ("ping", "settings", "stats", "version")
MEGABYTE = 1 << 20
# Option of the command line -> what `stats settings` calls it, where the value is the same text.
SAME = {
    "conn-limit": "maxconns",
    "threads": "num_threads",
    "slab-growth-factor": "growth_factor",
    "slab-min-size": "chunk_size",
    "max-reqs-per-event": "reqs_per_event",
    "listen-backlog": "tcp_backlog",
    "port": "tcpport",
}
# The same of options without a value: what `stats settings` says when they are given.
GIVEN = {
    "disable-evictions": ("evictions", "off"),
    "disable-cas": ("cas_enabled", "no"),
    "disable-flush-all": ("flush_enabled", "no"),
    "disable-dumping": ("dump_enabled", "no"),
}


class MemcachedError(Exception):
    """What the server refused."""


def ask(file: object, question: str) -> list[list[str]]:
    """Return the lines of a `stats` answer as name and value."""
    file.write(f"{question}\r\n".encode())
    file.flush()
    found = []
    for line in iter(file.readline, b"END\r\n"):
        word, _, rest = line.decode(errors="backslashreplace").rstrip("\r\n").partition(" ")
        if word != "STAT":
            raise MemcachedError(f"{question}: {line!r}" if line else "the server closed the connection")
        found.append(rest.split(" ", 1) if " " in rest else [rest, ""])
    return found


def size(text: str) -> int:
    """Bytes of an item's size as the option has it: 1m, 512k, or a plain number."""
    unit = {"k": 1 << 10, "m": MEGABYTE, "g": 1 << 30}.get(text[-1:].lower(), 0)
    return int(float(text[:-1]) * unit) if unit else int(text)


def arguments(pid: str) -> dict[str, str]:
    """Return the long options that the process was started with; true for one without a value."""
    words = Path(f"/proc/{pid}/cmdline").read_text(errors="backslashreplace").split("\0")
    pairs = (word[2:].partition("=") for word in words if word.startswith("--"))
    return {name: value if separator else "true" for name, separator, value in pairs}


def told(told_by_server: dict[str, str], name: str, given: str) -> str:
    """Return the value of one option that was given, as far as the server tells it."""
    if name in SAME:
        return told_by_server[SAME[name]]
    if name in GIVEN:
        setting, when_given = GIVEN[name]
        return "true" if told_by_server[setting] == when_given else "false"
    if name == "memory-limit":
        return f"{int(told_by_server['maxbytes']) / MEGABYTE:g}"
    if name == "max-item-size":
        found = int(told_by_server["item_size_max"])
        return given if size(given) == found else str(found)
    if name == "extended":
        return ",".join(extended(told_by_server, part) for part in given.split(","))
    return given


def extended(told_by_server: dict[str, str], part: str) -> str:
    """Return one extended option with the server's own value, where it tells one of that name."""
    name, separator, given = part.partition("=")
    found = told_by_server.get(name)
    if found is None or not separator:
        return part
    same = found == given or (found.replace(".", "").isdigit() and float(found) == number(given))
    return part if same else f"{name}={found}"


def number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def settings(file: object) -> dict[str, str]:
    """Return each option that was given with the value that counts, all else under the server's names."""
    own = dict(ask(file, "stats settings"))
    pid = dict(ask(file, "stats"))["pid"]
    return {**own, **{name: told(own, name, given) for name, given in arguments(pid).items()}}


def counters(file: object) -> dict[str, float]:
    found = ((name, number(value)) for name, value in ask(file, "stats"))
    return {name: value for name, value in found if value is not None and name not in ("pid", "time")}


def act(file: object, verb: str) -> str:
    if verb == "settings":
        return json.dumps(settings(file))
    if verb == "stats":
        return json.dumps(counters(file))
    return dict(ask(file, "stats"))["version"]


def connect(place: str) -> socket.socket:
    if place.startswith("/"):
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(SECONDS)
        link.connect(place)
        return link
    host, _, port = place.rpartition(":")
    return socket.create_connection((host, int(port)), SECONDS)


def main(place: str, verb: str) -> None:
    if verb not in VERBS:
        sys.exit(f"{verb!r} is none of {', '.join(VERBS)}")
    try:
        with connect(place) as link:
            sys.stdout.write(act(link.makefile("rwb"), verb) + "\n")
    except (OSError, MemcachedError, KeyError, ValueError) as error:
        sys.exit(f"{place}: {verb}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
