"""Durations, sizes and percentages: what is accepted, what is not, and what people get to read."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchctl.model import units


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60s", 60.0), ("2.5ms", 0.0025), ("10m", 600.0), ("3min", 180.0), ("8h", 28800.0), (" 1 d ", 86400.0)],
)
def test_duration(text: str, seconds: float) -> None:
    assert units.parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["60", "", "s", "60 seconds", "-1s", "1e3s", "1..5s", "inf s", "60S", "٣s", "9" * 400 + "s"]
)
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="a duration with a unit"):
        units.parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"), [("8kB", 8192), ("64MB", 64 * 2**20), ("1.5GB", 3 * 2**29), ("0B", 0)]
)
def test_size(text: str, size: int) -> None:
    assert units.parse_size(text) == size


@pytest.mark.parametrize("text", ["64", "64mb", "64 MiB", "9" * 400 + "GB", "9999999999 TB"])
def test_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="a size with a unit"):
        units.parse_size(text)


@pytest.mark.parametrize(("text", "ratio"), [("2%", 0.02), ("0.5 %", 0.005), ("0%", 0.0), ("100%", 1.0)])
def test_percent(text: str, ratio: float) -> None:
    assert units.parse_percent(text) == pytest.approx(ratio)


@pytest.mark.parametrize("text", ["2", "0.02", "%", "-1%", "2%%", "two%"])
def test_no_percent(text: str) -> None:
    with pytest.raises(ValueError, match="a percentage"):
        units.parse_percent(text)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (0.85, "850ms"),
        (12.34, "12.3s"),
        (59.99, "60s"),
        (119.7, "2m00s"),
        (250, "4m10s"),
        (7500, "2h05m"),
    ],
)
def test_format(seconds: float, shown: str) -> None:
    assert units.format_duration(seconds) == shown


@given(st.text(max_size=20))
def test_any_text_is_a_number_or_a_value_error(text: str) -> None:
    for parse in (units.parse_duration, units.parse_size, units.parse_percent):
        try:
            value = parse(text)
        except ValueError:
            continue
        assert math.isfinite(value)
        assert value >= 0
