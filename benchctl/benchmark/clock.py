"""The offset between two monotonic clocks, from round trips over an open connection.

Owns the estimate: of all recent round trips the one that leaves the least room for error. Pure.
"""

from __future__ import annotations

from collections import deque

from benchctl.benchmark.protocol import Clock

DRIFT = 50e-6  # seconds by which two clocks may part in one second: what NTP may slew is 500e-6 at worst
KEPT = 64  # samples
RECENT = 8  # round trips that `round_trip` looks back on: one that was slow by chance is soon forgotten
OUTLIERS = 2  # of these that may be longer: a start that they would make late is repeated, which is rare


class ClockEstimate:
    """Samples of one host's clock."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float, float]] = deque(maxlen=KEPT)
        self._best: tuple[float, float, float] | None = None
        self._trips: deque[float] = deque(maxlen=RECENT)

    def add(self, sent: float, received: float, theirs: float) -> None:
        """Take one round trip: our clock when it began and ended, theirs in between; all in seconds."""
        half = (received - sent) / 2
        self._samples.append((received, theirs - (sent + half), half))
        self._trips.append(received - sent)
        self._best = None

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def last(self) -> float:
        """When the newest sample came, on our clock."""
        return self._samples[-1][0]

    @property
    def round_trip(self) -> float:
        """The largest recent round trip, outliers aside, in seconds; 0 without any."""
        longest = sorted(self._trips, reverse=True)
        return longest[len(longest) * OUTLIERS // RECENT] if longest else 0.0

    def at(self, now: float) -> Clock:
        """Estimate the offset now (our clock): the shortest round trip wins, unless it is too long ago."""
        if self._best is None:  # which one is best does not change with time
            self._best = min(self._samples, key=lambda sample: sample[2] - DRIFT * sample[0])
        received, offset, half = self._best
        return Clock(offset, half + DRIFT * max(0.0, now - received))
