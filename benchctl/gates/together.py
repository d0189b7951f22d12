"""What the hosts' loads were together: how far apart they began, and how long all of them ran.

Pure functions over a trial's Start, as measures are over one host's evidence. With one load there is nothing
to judge here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchctl.gates.measures import Measurement, UnjudgedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchctl.gates.context import Context
    from benchctl.model.measurement import HostLoad, Start


class Together(NamedTuple):
    """All loads of a trial."""

    loads: Sequence[HostLoad]
    start: Start | None
    seconds: float  # of the window
    self_timed: bool  # the load generators end when they want
    context: Context


def start_skew(whole: Together) -> Measurement | None:
    """Milliseconds from the first start to the last."""
    if whole.start is None or len(whole.loads) < 2:
        return None
    first, last = (pick(whole.loads, key=lambda load: load.began) for pick in (min, max))
    return Measurement(whole.start.spread * 1000, f"{last.host} began after {first.host}")


def steady_overlap(whole: Together) -> Measurement | None:
    """The share of the window in which not all loads were past their warm-up and running."""
    if whole.start is None or len(whole.loads) < 2:
        return None
    if whole.self_timed:
        raise UnjudgedError("the commands measure by themselves and end when they want")
    ends = {load.host: load.began + load.task.end - load.task.start for load in whole.loads}
    first = min(ends, key=ends.__getitem__)
    return Measurement(1 - whole.start.overlap, f"{first} ended first, {ends[first]:.3f} s after the start")


def clocks(whole: Together) -> Measurement | None:
    """What is not known of the starts' order, as a share of the window: so much overlap may be missing."""
    if whole.start is None or len(whole.loads) < 2:
        return None
    if whole.self_timed:
        raise UnjudgedError("the commands measure by themselves and end when they want")
    known = f"starts are known to {whole.start.uncertainty * 1000:.3f} ms"
    return Measurement(whole.start.uncertainty / whole.seconds, known)
