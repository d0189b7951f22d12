"""Which keys a host may show: OpenSSH's known_hosts files, read as sshd(8) describes them.

Owns that format: names, patterns, hashed names, ports, markers. Must not open connections or write.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SSH_PORT = 22
SIZE_LIMIT = 16 << 20  # bytes of one file
_HASHED = "|1|"


class Known(NamedTuple):
    """What is recorded for one name."""

    keys: tuple[tuple[str, bytes], ...]  # type and blob
    revoked: frozenset[bytes]
    authorities: tuple[str, ...]  # file:line of @cert-authority lines that name it


def label(name: str, port: int) -> str:
    """Return how known_hosts calls a host on a port."""
    return name.lower() if port == SSH_PORT else f"[{name.lower()}]:{port}"


def look_up(files: Iterable[Path], name: str, port: int) -> Known:
    """Return what the files say of a host; a file that is missing or cannot be read says nothing."""
    wanted = label(name, port)
    keys: list[tuple[str, bytes]] = []
    revoked: set[bytes] = set()
    authorities: list[str] = []
    for path in files:
        for number, line in enumerate(_lines(path), 1):
            words = line.split()
            marker = words.pop(0) if words and words[0].startswith("@") else ""
            if len(words) < 3 or words[0].startswith("#") or not _names(words[0], wanted):
                continue
            if marker == "@cert-authority":
                authorities.append(f"{path}:{number}")
            elif (blob := _blob(words[2])) is None:
                continue
            elif marker == "@revoked":
                revoked.add(blob)
            elif not marker:
                keys.append((words[1], blob))
    return Known(tuple(keys), frozenset(revoked), tuple(authorities))


def fingerprint(blob: bytes) -> str:
    """Return a key's fingerprint as ssh-keygen shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            return file.read(SIZE_LIMIT).decode(errors="replace").splitlines()
    except OSError:
        return []


def _names(patterns: str, wanted: str) -> bool:
    if patterns.startswith(_HASHED):
        return _is_hash_of(patterns, wanted)
    found = False
    for pattern in patterns.lower().split(","):
        refused = pattern.startswith("!")
        # Only * and ? are special here; fnmatch knows brackets too, which stand around a name with a port.
        if fnmatchcase(wanted, pattern.removeprefix("!").replace("[", "[[]")):
            if refused:
                return False
            found = True
    return found


def _is_hash_of(hashed: str, wanted: str) -> bool:
    salt, _, digest = hashed.removeprefix(_HASHED).partition("|")
    try:
        made = hmac.digest(base64.b64decode(salt, validate=True), wanted.encode(), "sha1")
        return hmac.compare_digest(made, base64.b64decode(digest, validate=True))
    except (binascii.Error, ValueError):
        return False


def _blob(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
