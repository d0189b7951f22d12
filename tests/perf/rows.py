"""One printed figure: what, ours, the peer's, their ratio and the goal."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Row(NamedTuple):
    name: str
    ours: str
    peer: str
    ratio: str
    goal: str


def interleaved(
    first: Callable[[], object], second: Callable[[], object], rounds: int
) -> list[tuple[float, float]]:
    """Time two acts in turn, after one uncounted round; seconds of each."""
    pairs = []
    for number in range(rounds + 1):
        pair = (_seconds(first), _seconds(second))
        if number:
            pairs.append(pair)
    return pairs


def median_ratio(pairs: list[tuple[float, float]]) -> float:
    return statistics.median(ours / peer for ours, peer in pairs)


def milliseconds(values: list[float]) -> str:
    return f"{statistics.median(values) * 1000:.1f} ms"


def show(rows: list[Row]) -> str:
    table = [Row("figure", "benchctl", "peer", "ratio", "goal"), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(Row._fields))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in table
    )


def _seconds(act: Callable[[], object]) -> float:
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin
