"""Did the server take the setting it was given? Servers spell values in their own way."""

from __future__ import annotations

import re

from benchctl.model.units import parse_duration, parse_size

_SHIFTS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
_SUFFIXED = re.compile(r"(?P<number>\d+)(?P<suffix>[KMGT]?)B?", re.IGNORECASE)
_BOOLEANS = {
    "on": True,
    "true": True,
    "yes": True,
    "1": True,
    "off": False,
    "false": False,
    "no": False,
    "0": False,
}


def differing(wanted: dict[str, str], found: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Return name -> (wanted, found) where the server's own value is another one; '' where it shows none."""
    pairs = {name: (value, found.get(name, "")) for name, value in wanted.items()}
    return {name: pair for name, pair in pairs.items() if not same(*pair)}


def same(wanted: str, found: str) -> bool:
    """Compare two spellings: booleans, numbers, sizes and durations by value, all else without case."""
    forms = (_text, _boolean, _number, _size, _suffixed, _duration)
    return any(form(wanted) == form(found) for form in forms)


def _text(value: str) -> object:
    return value.strip().lower()


def _boolean(value: str) -> object:
    return _BOOLEANS.get(value.strip().lower(), value)


def _number(value: str) -> object:
    try:
        return float(value)
    except ValueError:
        return value


def _size(value: str) -> object:
    try:
        return parse_size(value)
    except ValueError:
        return value


def _suffixed(value: str) -> object:
    """Bytes as servers show them, which take letters: 64M or 64mb is 67108864."""
    match = _SUFFIXED.fullmatch(value.strip())
    return int(match["number"]) << _SHIFTS[match["suffix"].upper()] if match else value


def _duration(value: str) -> object:
    try:
        return round(parse_duration(value), 9)
    except ValueError:
        return value
