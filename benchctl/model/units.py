"""Durations, sizes, percentages as people write them: `60s`, `2.5ms`, `1GB`, `2%`; never a bare number.

Seconds are floats, bytes integers, percentages fractions. Sizes use PostgreSQL's meaning: 1kB = 1024 B.
Must not know where a text came from: the caller adds the place to the message.
"""

from __future__ import annotations

import math
import re

DURATIONS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
SIZES = {"B": 1, "kB": 1024, "KB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
NUMBER = r"[0-9]+(?:\.[0-9]+)?"
DURATION_WANTED = "a duration with a unit, such as 60s, 2.5ms, 10m or 8h"
SIZE_WANTED = "a size with a unit, such as 64MB or 1GB"
PERCENT_WANTED = "a percentage, such as 2% or 0.5%"
LARGEST_SIZE = 2**63 - 1  # what databases and file systems can count
_FORM = re.compile(rf"(?P<number>{NUMBER})\s*(?P<unit>[A-Za-z]+)")
_PERCENT = re.compile(rf"(?P<number>{NUMBER})\s*%")


def parse_duration(text: str) -> float:
    """Return seconds. Raises ValueError with what is allowed when the text is no duration."""
    return _parse(text, DURATIONS, DURATION_WANTED)


def parse_size(text: str) -> int:
    """Return bytes. Raises ValueError with what is allowed when the text is no size."""
    size = round(_parse(text, SIZES, SIZE_WANTED))
    if size > LARGEST_SIZE:
        raise ValueError(SIZE_WANTED)
    return size


def parse_percent(text: str) -> float:
    """Return a fraction (`2%` is 0.02). Raises ValueError with what is allowed for anything else."""
    match = _PERCENT.fullmatch(text.strip())
    if match is None:
        raise ValueError(PERCENT_WANTED)
    return float(match["number"]) / 100


def format_duration(seconds: float) -> str:
    """Render seconds for people: `850ms`, `12.3s`, `4m10s`, `2h05m`."""
    if 0 < seconds < 1:
        return f"{seconds * 1000:.3g}ms"
    if seconds < 60:
        return f"{seconds:.3g}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m"


def _parse(text: str, units: dict[str, float] | dict[str, int], wanted: str) -> float:
    match = _FORM.fullmatch(text.strip())
    if match is None or match["unit"] not in units:
        raise ValueError(wanted)
    value = float(match["number"]) * units[match["unit"]]
    if not math.isfinite(value):
        raise ValueError(wanted)
    return value
