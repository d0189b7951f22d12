"""What each DBMS gave under each load generator that drives it, on hosts of the lab, as its test recorded it.

Owns the table's words. Must not run anything.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORDED = Path(__file__).parents[1] / "tests" / "cases" / "catalogue" / "pairs.json"
MADE_BY = "tests/acceptance/test_catalogue.py"
TITLES = (
    "DBMS",
    "load generator",
    "load",
    "throughput",
    "p99",
    "validity",
    "install, s",
    "prepare, s",
    "reset, s",
)


def recorded() -> dict[str, dict[str, Any]]:
    """Return what is known of each pair, by `DBMS load-generator`; a pair that has not run says `why`."""
    found: dict[str, dict[str, Any]] = json.loads(RECORDED.read_text("utf-8"))
    return found


def rows() -> Iterator[tuple[str, ...]]:
    """Give a row of the table for each pair that ran."""
    for pair in recorded().values():
        if "why" in pair:
            continue
        options = ", ".join(f"{name} {value}" for name, value in pair["options"].items())
        seconds = (_figure(pair[name]) for name in ("install", "prepare", "reset"))
        yield (
            f"{pair['dbms']} {pair['dbms_version']}".strip(),
            f"{pair['loader']} {pair['loader_version']}".strip(),
            options,
            _metric(pair["primary"]),
            _metric(pair["p99"]),
            pair["validity"],
            *seconds,
        )


def left_out() -> Iterator[tuple[str, str, str]]:
    """Give DBMS, load generator and reason of each pair that did not run."""
    for name, pair in recorded().items():
        if "why" in pair:
            dbms, _, loader = name.partition(" ")
            yield dbms, loader, pair["why"]


def _metric(found: dict[str, Any] | None) -> str:
    if found is None or found["value"] is None:
        return ""
    return f"{_figure(found['value'])} {found['unit']}"


def _figure(value: float | None) -> str:
    """Three digits that count."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
