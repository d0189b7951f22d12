"""Durations and sizes as people write them: `60s`, `2.5ms`, `1GB`. A bare number is never accepted.

Seconds are floats, bytes are integers. Sizes use PostgreSQL's meaning: 1kB = 1024 B.
"""

from __future__ import annotations

import re

DURATIONS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
SIZES = {"B": 1, "kB": 1024, "KB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
_FORM = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[A-Za-z]+)")


def parse_duration(text: str) -> float:
    """Return seconds. Raises ValueError with the allowed units when the text is no duration."""
    return _parse(text, DURATIONS, "a duration with a unit, such as 60s, 2.5ms, 10m or 8h")


def parse_size(text: str) -> int:
    """Return bytes. Raises ValueError with the allowed units when the text is no size."""
    return round(_parse(text, SIZES, "a size with a unit, such as 64MB or 1GB"))


def format_duration(seconds: float) -> str:
    """Render seconds for people: `850ms`, `12.3s`, `4m10s`, `2h05m`."""
    if seconds < 1:
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
    return float(match["number"]) * units[match["unit"]]
