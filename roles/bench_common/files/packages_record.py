# ruff: noqa: INP001 - passed to `python -c` together with packages.py, no part of a package
"""Root's record of what was on a host before packages were installed, and of what was to come.

Owns its form, its place, and what in it is believed at all: only what packages.py writes, in just this way.
Must not change anything but files. Runs on Python 3.9.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path

RECORD = Path("/var/lib/benchctl/packages.json")
LONGEST = 7200  # seconds from the start of an installation to its last note
SHAPES = {
    "package": r"[A-Za-z0-9][A-Za-z0-9+._~-]*",
    "account": r"[A-Za-z_][A-Za-z0-9_.-]*\$?",
    "unit": r"[A-Za-z0-9:_.\\@-]+\.[a-z]+",
    "path": r"(/(?!\.\.?(/|$))[^/\x00-\x1f]+)+",
    "version": r"[ -~]+",
    "hash": r"[0-9a-f]{64}",
    "owner": r"[a-z][a-z0-9_]*",
}
UNDO = "Nothing was changed. Undo by hand what it names, remove the record, and try again."


class PackagesError(Exception):
    """What a person has to read."""


def empty() -> dict:
    return {
        "claims": {},
        "since": None,
        "packages": [],
        "residue": [],
        "users": [],
        "groups": [],
        "files": {},
        "folders": [],
        "upgraded": {},
        "backups": None,
        "pending": None,
    }


# What each field of the record holds: a list of, or a table from and to, these shapes.
FIELDS = {
    "packages": ("package",),
    "residue": ("package",),
    "users": ("account",),
    "groups": ("account",),
    "files": ("path", "hash"),
    "folders": ("path",),
    "upgraded": ("package", "version"),
}
PENDING = {
    "versions": ("package", "version"),
    "planned": ("package",),
    "residue": ("package",),
    "users": ("account",),
    "groups": ("account",),
    "enabled": ("unit",),
    "active": ("unit",),
}


def digest(record: dict) -> str:
    content = {name: value for name, value in record.items() if name != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def refuse(reason: str) -> None:
    raise PackagesError(f"the record {RECORD} {reason}. {UNDO}")


def is_shaped(value: object, shape: str) -> bool:
    return isinstance(value, str) and re.fullmatch(SHAPES[shape], value) is not None


def fits(value: object, shapes: tuple) -> bool:
    if len(shapes) == 1:
        return isinstance(value, list) and all(is_shaped(item, shapes[0]) for item in value)
    return isinstance(value, dict) and all(
        is_shaped(key, shapes[0]) and is_shaped(item, shapes[1]) for key, item in value.items()
    )


def check_fields(found: object, fields: dict, others: set, where: str) -> None:
    if not isinstance(found, dict) or set(found) != {*fields, *others}:
        refuse(f"has no proper {where}")
    for name, shapes in fields.items():
        if not fits(found[name], shapes):
            refuse(f"holds in {where} for {name} what no installation writes")


def check(record: object) -> None:
    """Refuse what this script has not written in just this way."""
    check_fields(
        record, FIELDS, {"claims", "since", "backups", "pending", "digest"}, "list of what was installed"
    )
    claims = record["claims"]
    if not isinstance(claims, dict) or not all(
        is_shaped(owner, "owner") and fits(names, ("package",)) for owner, names in claims.items()
    ):
        refuse("holds claims that no role makes")
    if record["backups"] is not None and not fits(record["backups"], ("path",)):
        refuse("holds for backups what no installation writes")
    if record["since"] is not None and not is_time(record["since"]):
        refuse("does not say when the first installation began")
    if record["pending"] is not None:
        check_pending(record["pending"])
    if record["digest"] != digest(record):
        refuse("was changed by hand, or is damaged")


def check_pending(pending: object) -> None:
    check_fields(pending, PENDING, {"began", "policy"}, "state of the host before the installation")
    policy = pending["policy"]
    if policy is not None and not (
        isinstance(policy, dict)
        and set(policy) == {"content", "mode"}
        and isinstance(policy["content"], str)
        and isinstance(policy["mode"], int)
    ):
        refuse("holds for policy what no installation writes")
    if not is_time(pending["began"]):
        refuse("does not say when the installation began")


def is_time(value: object) -> bool:
    return isinstance(value, float) and 0 < value < float("inf")


def read_record() -> dict:
    try:
        text = RECORD.read_text(encoding="utf-8")
        state = RECORD.stat()
    except FileNotFoundError:
        return empty()
    except UnicodeDecodeError:
        refuse("is no text")
    if state.st_uid != os.geteuid() or state.st_mode & 0o022:
        refuse("can be written by others than root")
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        refuse("is no JSON")
    check(record)
    if record["pending"] and state.st_mtime - record["pending"]["began"] > LONGEST:
        refuse("says that an installation began long before it was noted")
    return record


def write_record(record: dict) -> None:
    RECORD.parent.mkdir(mode=0o755, exist_ok=True)
    record["digest"] = digest(record)
    replace(RECORD, json.dumps(record, indent=1, sort_keys=True), 0o644)


def replace(path: Path, text: str, mode: int) -> None:
    """Whole or not at all."""
    new = beside(path)
    with new.open("w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.chmod(mode)
    new.replace(path)


def beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.benchctl")
