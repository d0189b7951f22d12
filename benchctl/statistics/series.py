"""What a one-second series of a trial looks like: flat, warm-up, slowdown or unsteady.

Levels first: the most likely change of level is where the rank sum of the values before it has its largest
z, and each part is looked at again (binary segmentation), down to MIN_SECONDS. A change counts when random
orders reach that z in at most ALPHA of cases and the medians on both sides differ by MIN_SHIFT or more:
ranks and medians take no notice of single bad seconds. Levels that only get better are a warm-up, that only
get worse a slowdown; both are unsteady. Then single seconds: two or more that lie further than STALL from
the median and STALL_SPREADS spreads (median absolute deviation times 1.4826), as checkpoints and pauses do,
are unsteady too.

On flat independent noise at most 3 % of series are flagged (simulated: 10 to 600 seconds, normal and log-
normal, CV 1 to 20 %). Noise that remembers the second before is flagged more often: AR(1) with 0.3 in up to
9 %, with 0.5 in up to 22 % of series. A start that is slower by 20 %, at CV 5 %, is found in 98 % of
series: four seconds of 10, five of 30, 60 or 120.
"""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

Class = Literal["flat", "warm-up", "slowdown", "unsteady", "too short"]
MIN_SECONDS = 10
MIN_PART = 3
ALPHA = 0.02
CRITICAL = (  # (length, z) that ALPHA of random orders reach; simulated, 200,000 orders each up to 60
    (10, 2.55), (15, 2.69), (20, 2.81), (30, 2.95), (60, 3.12), (100, 3.22), (300, 3.37), (1000, 3.48),
    (3600, 3.58),
)  # fmt: skip
MIN_SHIFT = 0.05
STALL = 0.2
STALL_SPREADS = 6.0
LEVELS_SHOWN = 4


class Course(NamedTuple):
    """The class of a series and what shows it, in words."""

    klass: Class
    detail: str


def classify(values: Sequence[float | None], *, better: Literal["higher", "lower"] = "higher") -> Course:
    """Classify one value per second; seconds without a value (None) are left out."""
    series = [(second, value) for second, value in enumerate(values, start=1) if value is not None]
    if len(series) < MIN_SECONDS:
        return Course("too short", f"{len(series)} seconds; at least {MIN_SECONDS} are needed")
    known = [value for _, value in series]
    bounds = [0, *_changes(known, 0), len(known)]
    levels = [median(known[a:b]) for a, b in pairwise(bounds)]
    if len(levels) > 1:
        starts = [series[at][0] for at in bounds[1:-1]]
        return Course(_by_levels(levels, better), _level_words(levels, starts))
    stalls = _stalls(known)
    if len(stalls) > 1:
        worst = max(stalls, key=lambda at: abs(known[at] - levels[0]))
        change = known[worst] / levels[0] - 1
        return Course(
            "unsteady",
            f"{len(stalls)} seconds stand out, most second {series[worst][0]}: {change:+.0%} of the median",
        )
    return Course("flat", "")


def likeliest_change(values: Sequence[float]) -> tuple[int, float]:
    """Where a change of level is most likely, as the number of values before it, and its z.

    The z is that of the rank sum of the values before (Wilcoxon's), largest over all places that leave
    MIN_PART values on both sides. Ties share ranks.
    """
    n = len(values)
    ranks = _mean_ranks(values)
    at, largest, running = 0, 0.0, 0.0
    for before in range(1, n - MIN_PART + 1):
        running += 2 * ranks[before - 1] - (n + 1)
        if before >= MIN_PART:
            z = abs(running) / math.sqrt(before * (n - before) * (n + 1) / 3)
            if z > largest:
                at, largest = before, z
    return at, largest


def critical(n: int) -> float:
    """The z that ALPHA of all random orders of n values reach, at least MIN_SECONDS; between, by log n."""
    for (short, low), (long, high) in pairwise(CRITICAL):
        if n <= long:
            return low + (high - low) * math.log(n / short) / math.log(long / short)
    return CRITICAL[-1][1]


def _changes(values: Sequence[float], offset: int) -> list[int]:
    """Where levels change, as indices of the first value of a new level."""
    if len(values) < MIN_SECONDS:
        return []
    at, z = likeliest_change(values)
    if z < critical(len(values)):
        return []
    before, after = median(values[:at]), median(values[at:])
    if abs(after - before) < MIN_SHIFT * max(abs(before), abs(after)):
        return []
    return [*_changes(values[:at], offset), offset + at, *_changes(values[at:], offset + at)]


def _by_levels(levels: Sequence[float], better: Literal["higher", "lower"]) -> Class:
    steps = [after - before for before, after in pairwise(levels)]
    sign = 1 if better == "higher" else -1
    if all(sign * step > 0 for step in steps):
        return "warm-up"
    return "slowdown" if all(sign * step < 0 for step in steps) else "unsteady"


def _level_words(levels: Sequence[float], starts: Sequence[int]) -> str:
    first = f"median {levels[0]:.4g}"
    later = [f"{level:.4g} from second {start}" for level, start in zip(levels[1:], starts, strict=True)]
    more = f", and {len(later) - LEVELS_SHOWN} more levels" if len(later) > LEVELS_SHOWN else ""
    return ", ".join([first, *later[:LEVELS_SHOWN]]) + more


def _stalls(values: Sequence[float]) -> list[int]:
    """The indices of seconds far away from the rest."""
    middle = median(values)
    spread = 1.4826 * median(abs(value - middle) for value in values)
    limit = max(STALL * abs(middle), STALL_SPREADS * spread)
    return [at for at, value in enumerate(values) if abs(value - middle) > limit]


def _mean_ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1, ties share their mean."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for at in order[start : end + 1]:
            ranks[at] = (start + end) / 2 + 1
        start = end + 1
    return ranks
