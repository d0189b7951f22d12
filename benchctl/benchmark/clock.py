"""The offset between two monotonic clocks, from round trips over an open connection.

Owns the estimate: of all recent round trips the one that leaves the least room for error. Pure.
"""

from __future__ import annotations

from collections import deque

from benchctl.benchmark.protocol import Clock

DRIFT = 50e-6  # seconds by which two clocks may part in one second: what NTP may slew is 500e-6 at worst
KEPT = 64  # samples
RECENT = 8  # round trips that `round_trip` looks back on: one that was slow by chance is soon forgotten


class ClockEstimate:
    """Samples of one host's clock."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float, float]] = deque(maxlen=KEPT)
        self._trips: deque[float] = deque(maxlen=RECENT)

    def add(self, sent: float, received: float, theirs: float) -> None:
        """Take one round trip: our clock when it began and ended, theirs in between; all in seconds."""
        half = (received - sent) / 2
        self._samples.append((received, theirs - (sent + half), half))
        self._trips.append(received - sent)

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def last(self) -> float:
        """When the newest sample came, on our clock."""
        return self._samples[-1][0]

    @property
    def round_trip(self) -> float:
        """The largest recent round trip, in seconds; 0 without any."""
        return max(self._trips, default=0.0)

    def at(self, now: float) -> Clock:
        """Estimate the offset now (our clock): the shortest round trip wins, unless it is too long ago."""

        def doubt(sample: tuple[float, float, float]) -> float:
            return sample[2] + DRIFT * max(0.0, now - sample[0])

        best = min(self._samples, key=doubt)
        return Clock(best[1], doubt(best))
