"""Values as text: numbers with their units, times, and strings from outside made harmless.

Must not know any record; what is said about a run stands in `words` and `content`.
"""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import UTC, datetime

NOTHING = "\N{EN DASH}"
_SECRET = re.compile(r"passw|passphrase|secret|token|credential|private.?key|api.?key", re.IGNORECASE)
_NOT_SECRET = frozenset({"password_encryption"})
_ASSIGNED = re.compile(r"(?i)([\w-]*(?:passw|secret|token|api.?key)[\w-]*)(\s*[=:]\s*)(?!\s*\{)[^\s,}&]+")
_IN_ADDRESS = re.compile(r"(://[^/\s:@]+:)[^@\s/]+@")


def clean(text: object, *, lines: bool = False) -> str:
    """Show control and direction-changing characters as escapes, so that no terminal or page obeys them."""
    kept = "\n\t" if lines else ""
    return "".join(
        character
        if character in kept or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}
        else character.encode("unicode_escape", "backslashreplace").decode()
        for character in str(text)
    )


def redact(text: str) -> str:
    """Hide what looks like a secret: passwords inside addresses, and values given to telling names."""
    return _ASSIGNED.sub(_hide_value, _IN_ADDRESS.sub(r"\1***@", text))


def setting(name: str, value: object) -> str:
    """A setting's value, hidden when its name tells that it is a secret."""
    if _SECRET.search(name) and name.rpartition(".")[2] not in _NOT_SECRET:
        return "***"
    return redact(clean(value))


def number(value: float | None, unit: str = "") -> str:
    """Four significant digits and the unit; a dash where there is no value."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return _digits(value) + suffix(unit)


def suffix(unit: str) -> str:
    """The unit as it follows a number: nothing for counts and ratios, `/s` for rates."""
    if unit in {"", "1", "ratio"}:
        return ""
    return unit[1:] if unit.startswith("1/") else f" {clean(unit)}"


def percent(ratio: float | None, *, decimals: int | None = None, signed: bool = False) -> str:
    """A ratio in percent; without decimals told, three significant digits."""
    if ratio is None or not math.isfinite(ratio):
        return NOTHING
    places = _places(abs(ratio) * 100) if decimals is None else decimals
    text = f"{ratio * 100:{'+' if signed else ''},.{places}f}"
    return f"{_minus(text)} %"


def about(ratio: float | None) -> str:
    """A limit or an estimate in percent: two significant digits, no zeros behind."""
    if ratio is None or not math.isfinite(ratio):
        return NOTHING
    rounded = float(f"{ratio * 100:.2g}")
    return f"{_minus(f'{rounded:,g}')} %"


def decimals_for(low: float | None, high: float | None) -> int | None:
    """Decimals of a percentage that give the interval's half-width two significant digits."""
    if low is None or high is None or not math.isfinite(high - low) or high <= low:
        return None
    half = (high - low) * 50
    return min(4, max(0, 1 - math.floor(math.log10(half))))


def probability(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return NOTHING
    return "< 0.001" if value < 0.001 else f"{value:.2g}"


def moment(seconds: float) -> str:
    """A point in time, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def shorten(text: str, most: int) -> str:
    """The text, cut with an ellipsis where it is longer than `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def join_words(parts: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _hide_value(match: re.Match[str]) -> str:
    hidden = match[1].lower() not in _NOT_SECRET
    return f"{match[1]}{match[2]}***" if hidden else match[0]


def _digits(value: float) -> str:
    if float(value).is_integer() and abs(value) < 1e9:
        return _minus(f"{value:,.0f}")
    if not 1e-4 <= abs(value) < 1e9:
        return _minus(f"{value:.3e}")
    places = max(0, 3 - math.floor(math.log10(abs(value))))
    return _minus(f"{value:,.{places}f}")


def _places(percents: float) -> int:
    if percents == 0 or percents >= 100:
        return 0
    return max(0, 2 - max(-2, math.floor(math.log10(percents))))


def _minus(text: str) -> str:
    return text.replace("-", "\u2212")
