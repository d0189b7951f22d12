"""One result from those of several hosts that drove one system at the same time.

Throughput, requests and errors are sums, means are weighted by requests, extremes stay extremes. A
percentile comes from all hosts' latencies together or not at all: averaging percentiles gives the percentile
of nothing. Must not read raw files itself: the load generator's module does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from benchctl.model.measurement import LoaderResult, Quantity
from benchctl.statistics.percentiles import carries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchctl.loaders.loader import Ints, Loader
    from benchctl.model.measurement import Window

_SUMMED = ("errors", "requests", "retries", "points")
_PERCENTILE = re.compile(r"(?P<name>\w+)_p(?P<digits>[0-9]{2,})")


class Part(NamedTuple):
    """What one host's load generator left, and what was read from it."""

    host: str
    raw: Path
    window: Window  # in that host's clock; all windows begin at the same instant
    result: LoaderResult


def merge(loader: Loader, parts: Sequence[Part]) -> LoaderResult:
    """Merge the results of one trial; a single one is returned as it is.

    A metric that cannot be merged honestly is kept with the value None. Series are sums (throughput) or means
    weighted by throughput, over the full seconds that every host has. Raises ParseError as the load
    generator's module does.
    """
    if len(parts) == 1:
        return parts[0].result
    results = [part.result for part in parts]
    latencies = _joined([loader.latencies(part.raw, part.window) for part in parts])
    threads = [result.threads for result in results if result.threads is not None]
    return LoaderResult(
        loader=results[0].loader,
        version=", ".join(sorted({result.version for result in results if result.version})),
        open_loop=all(result.open_loop for result in results),
        metrics={name: _metric(name, results, latencies) for name in _names(results)},
        errors=sum(result.errors for result in results),
        requests=sum(result.requests for result in results),
        series=_series(results),
        percentile_source=results[0].percentile_source if latencies else "none: hosts cannot be merged",
        threads=sum(threads) if len(threads) == len(results) else None,
    )


def _names(results: Sequence[LoaderResult]) -> list[str]:
    """All metrics, in the order of their first mention."""
    return list(dict.fromkeys(name for result in results for name in result.metrics))


def _joined(parts: Sequence[dict[str, Ints]]) -> dict[str, Ints]:
    """Each kind of time that every host kept, as one array of microseconds."""
    import numpy as np  # late: the room is imported where nothing is merged

    common = [name for name in parts[0] if all(name in part for part in parts)]
    return {name: np.concatenate([part[name] for part in parts]) for name in common}


def _metric(name: str, results: Sequence[LoaderResult], latencies: dict[str, Ints]) -> Quantity:
    found = [result.metrics.get(name) for result in results]
    present = [quantity for quantity in found if quantity is not None]
    unit = present[0].unit
    values = [quantity.value for quantity in present if quantity.value is not None]
    if match := _PERCENTILE.fullmatch(name):
        return Quantity(value=_percentile(latencies.get(match["name"]), match["digits"]), unit=unit)
    if len(values) < len(results) and not name.endswith("_mean"):
        return Quantity(value=None, unit=unit)
    return Quantity(value=_combined(name, unit, values, results), unit=unit)


def _combined(name: str, unit: str, values: Sequence[float], results: Sequence[LoaderResult]) -> float | None:
    if name in _SUMMED or unit.endswith("/s"):
        return sum(values)
    if name.endswith("_mean"):
        return _mean(name, results)
    if name.endswith("_max") or name == "seconds":  # the life of the longest process
        return max(values)
    return min(values) if name.endswith("_min") else None


def _mean(name: str, results: Sequence[LoaderResult]) -> float | None:
    """Weighted by the requests that succeeded; a host without any says nothing."""
    total = weight = 0.0
    for result in results:
        succeeded = result.requests - result.errors
        value = result.metrics[name].value if name in result.metrics else None
        if value is None and (succeeded or not result.requests):
            return None
        total += succeeded * (value or 0.0)
        weight += succeeded
    return total / weight if weight else None


def _percentile(microseconds: Ints | None, digits: str) -> float | None:
    """`digits` as in p50, p99 and p999. In ms; None without the latencies, or with too few."""
    import numpy as np

    q = int(digits) / 10 ** len(digits)
    if microseconds is None or not carries(len(microseconds), q):
        return None
    return float(np.quantile(microseconds, q)) / 1000


def _series(results: Sequence[LoaderResult]) -> dict[str, tuple[float | None, ...]]:
    """The series that every host has, second by second from the window's start."""
    common = [name for name in results[0].series if all(name in result.series for result in results)]
    seconds = min((len(result.series[name]) for result in results for name in common), default=0)
    merged = {}
    for name in common:
        columns = [[result.series[name][at] for result in results] for at in range(seconds)]
        if name == "throughput":
            merged[name] = tuple(_total(column) for column in columns)
        elif "throughput" in common:
            weights = [[result.series["throughput"][at] for result in results] for at in range(seconds)]
            merged[name] = tuple(map(_weighted, columns, weights))
    return merged


def _total(column: Sequence[float | None]) -> float | None:
    present = [value for value in column if value is not None]
    return sum(present) if len(present) == len(column) else None


def _weighted(column: Sequence[float | None], weights: Sequence[float | None]) -> float | None:
    pairs = [(value, weight or 0.0) for value, weight in zip(column, weights, strict=True)]
    known = [(value, weight) for value, weight in pairs if value is not None]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total else None
