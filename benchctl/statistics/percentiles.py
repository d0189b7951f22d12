"""When a sample carries a percentile. Must not compute one: that is the loaders' work, on their own data."""

from __future__ import annotations

MIN_BEYOND = 10


def carries(n: int, q: float) -> bool:
    """Whether n observations carry the quantile q: at least MIN_BEYOND of them lie beyond it on either side.

    A p50 needs 20 observations, a p95 200, a p99 1,000, a p99.9 10,000: with ten beyond it, the relative
    standard error of the number of exceedances is about 1/sqrt(10), a third.
    """
    return n * min(q, 1 - q) >= MIN_BEYOND - 1e-6
