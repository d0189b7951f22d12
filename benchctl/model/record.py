"""The base of all records: frozen, keyword-only, strict about unknown keys."""

from __future__ import annotations

import msgspec

Scalar = str | int | float | bool


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """A value that travels between rooms and to disk."""


def to_json(record: object) -> bytes:
    """Render a record as indented JSON with a final newline, keys in the order of their declaration."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"
