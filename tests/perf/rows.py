"""One printed figure: what, ours, the peer's, their ratio, the goal, and whether it is met."""

from __future__ import annotations

import os
import statistics
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


def rounds(number: int) -> int:
    """So many rounds; a tenth of them, for a first look, when PERF_QUICK is set."""
    return -(-number // 10) if os.environ.get("PERF_QUICK") else number


class Row(NamedTuple):
    name: str
    ours: str
    peer: str
    ratio: str
    goal: str
    met: bool | None = None  # None: no goal, or nothing to compare with


def compared(name: str, ours: float, peer: float, goal: float | None = None) -> Row:
    """The row of two lengths of time, in seconds; the goal is the largest ratio."""
    ratio = ours / peer
    wanted = "" if goal is None else f"<= {goal:g}"
    return Row(
        name, duration(ours), duration(peer), f"{ratio:.2f}", wanted, None if goal is None else ratio <= goal
    )


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


def duration(seconds: float) -> str:
    """Seconds from one on, below that milliseconds."""
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1000:.{1 if seconds >= 0.01 else 3}f} ms"


def show(rows: list[Row]) -> str:
    """A table; the last column says whether the goal is met."""
    heads = ("figure", "benchctl", "peer", "ratio", "goal", "met")
    words = {True: "yes", False: "NO", None: ""}
    table = [heads, *((*row[:-1], words[row.met]) for row in rows)]
    widths = [max(len(cells[column]) for cells in table) for column in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(cells, widths, strict=True)).rstrip() for cells in table
    )


def _seconds(act: Callable[[], object]) -> float:
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin
