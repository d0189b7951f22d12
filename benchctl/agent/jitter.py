"""One CPU's noise as a program on it sees it: gaps in a loop that reads the clock, and a fixed work loop.

Owns the two loops and their arithmetic. It is a program of its own for each CPU: threads of one Python would
wait for one another. What Python itself takes between two reads is measured and told, as the floor.
"""

import gc
import json
import sys
import time
from bisect import bisect_right
from typing import Callable, List, Sequence

from benchctl.agent.wire import Json

EDGES = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 1_000_000, 10_000_000)  # ns
_ABOVE = 5  # times the floor from which a gap is a gap
_LOOKS = 20_000  # reads of the clock for the floor
_WORK = 20_000  # additions of one block: a millisecond or so, and the same on each host and at each time
_SHARE = 0.2  # of the seconds, added for the work loop


def main(start: float, seconds: float) -> int:
    """Measure the CPU that it was put on, from an instant of the monotonic clock; print one JSON object."""
    gc.disable()
    floor = floor_of(_looks(time.perf_counter_ns))
    edges = [edge for edge in EDGES if edge >= _ABOVE * floor] or [EDGES[-1]]
    time.sleep(max(0.0, start - time.monotonic()))
    print(json.dumps({"floor": floor, **gaps(edges, seconds), **work(seconds * _SHARE)}))
    sys.stdout.flush()
    return 0


def gaps(edges: Sequence[int], seconds: float, clock: Callable[[], int] = time.perf_counter_ns) -> Json:
    """Read the clock over and over; count what lies between two reads where it is long.

    `edges`: for each in ns how many gaps were at least as long; `lost`: share of the time in all of them.
    """
    counts = [0] * (len(edges) + 1)
    least, longest, lost = edges[0], 0, 0
    begin = before = clock()
    end = begin + int(seconds * 1e9)
    while before < end:
        now = clock()
        gap = now - before
        if gap >= least:
            counts[bisect_right(edges, gap)] += 1
            lost += gap
            longest = max(longest, gap)
            now = clock()  # the counting is ours
        before = now
    over = {str(edge): sum(counts[at + 1 :]) for at, edge in enumerate(edges)}
    return {"edges": over, "longest": longest, "lost": lost / max(before - begin, 1)}


def work(seconds: float) -> Json:
    """Do a fixed piece of work again and again; return how much its blocks differ in time."""
    clock = time.perf_counter_ns
    blocks: List[int] = []
    begin = before = clock()
    while not blocks or before - begin < seconds * 1e9:
        total = 0
        for number in range(_WORK):
            total += number
        now = clock()
        blocks.append(now - before)
        before = now
    return spread(blocks)


def floor_of(looks: Sequence[int]) -> int:
    """Return what two reads of the clock take, in ns: the median."""
    return sorted(looks)[len(looks) // 2]


def spread(blocks: Sequence[int]) -> Json:
    """Return the median of blocks in ns, their coefficient of variation, and longest through shortest."""
    ordered = sorted(blocks)
    mean = sum(ordered) / len(ordered)
    variance = sum((one - mean) ** 2 for one in ordered) / max(len(ordered) - 1, 1)
    return {
        "blocks": len(ordered),
        "block": ordered[len(ordered) // 2],
        "cv": variance**0.5 / mean,
        "ratio": ordered[-1] / max(ordered[0], 1),
    }


def _looks(clock: Callable[[], int]) -> List[int]:
    found = []
    before = clock()
    for _ in range(_LOOKS):
        now = clock()
        found.append(now - before)
        before = clock()
    return found
