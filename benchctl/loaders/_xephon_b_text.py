"""What xb and Xephon-B print, and xb's line for each request; both have to agree."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchctl.errors import ParseError
from benchctl.loaders._columns import read, unknown
from benchctl.loaders._shared import content

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from benchctl.model.measurement import Window

    Ints = NDArray[np.integer]

_BANNER = re.compile(r"xb (?P<version>\S+): \d+ workers, \d+ x \d+ points a request, to \S+")
_LOG = re.compile(r"(DEBU|DEBUG|INFO|WARN|ERRO|ERROR) \d{4}-\d\d-\d\dT\S+ .*")
_FAILED = re.compile(r"\d+ requests failed: .*")
_KEYS = frozenset(
    {
        *("avgLatency", "dataRatio", "duration", "failedRequests", "maxLatency", "minLatency"),
        *("payloadSize", "rawMetaSize", "rawSize", "totalPoints", "totalRequests"),
    }
)
_OWN_KEYS = _KEYS | {"retriedRequests"}
_COLUMNS = {
    "end": pa.int64(),
    "latency": pa.int64(),
    "points": pa.int64(),
    "retries": pa.int64(),
    "outcome": pa.string(),
}
_LINE = re.compile(r"\d+ \d+ \d+ \d+ (ok|failed)")
_REMEDY = "known are xb 1 and Xephon-B 0.3; repeat the trial if a file was cut"


class Report(NamedTuple):
    """The last line of output. Times of requests in microseconds."""

    own: bool  # of xb, and not of Xephon-B
    version: str  # empty of Xephon-B, which does not say it
    seconds: float
    requests: int
    failed: int
    retried: int
    points: int
    mean: float
    shortest: float
    longest: float


class Digest(NamedTuple):
    """The requests of the window; `latency` in microseconds, of those that succeeded, by completion."""

    latency: Ints
    completed: NDArray[np.float64]  # seconds from the window's start
    tries: Ints  # retries of each of them
    points: int
    retries: int
    failed: int
    throughput: tuple[float, ...]  # points in each full second of the window

    @property
    def mean(self) -> float | None:
        return float(self.latency.mean()) if len(self.latency) else None

    @property
    def shortest(self) -> float | None:
        return float(self.latency.min()) if len(self.latency) else None

    @property
    def longest(self) -> float | None:
        return float(self.latency.max()) if len(self.latency) else None

    def quantile(self, q: float) -> float:
        return float(np.quantile(self.latency, q))

    def table(self) -> pa.Table:
        return pa.table(
            {"completed": self.completed, "latency_ms": self.latency / 1e3, "retries": self.tries}
        )


def read_report(raw: Path) -> Report:
    """Read what was printed. Raises ParseError for a line that is not known."""
    path = raw / "stdout"
    lines = [
        (number, line) for number, line in enumerate(content(path).splitlines(), start=1) if line.strip()
    ]
    if not lines:
        raise ParseError(f"{path}: empty; expected a report as the last line", remedy=_REMEDY)
    banner = _BANNER.fullmatch(lines[0][1])
    for number, line in lines[1 if banner else 0 : -1]:
        if banner or not _LOG.fullmatch(line):
            raise ParseError(f"{path}:{number}: unknown line: {line[:200]!r}", remedy=_REMEDY)
    for number, line in enumerate(content(raw / "stderr").splitlines(), start=1):
        if line.strip() and not _FAILED.fullmatch(line) and not (not banner and _LOG.fullmatch(line)):
            raise ParseError(f"{raw / 'stderr'}:{number}: unknown line: {line[:200]!r}", remedy=_REMEDY)
    number, line = lines[-1]
    found = _numbers(f"{path}:{number}", line, _OWN_KEYS if banner else _KEYS)
    return Report(
        own=banner is not None,
        version=banner["version"] if banner else "",
        seconds=found["duration"] / 1e9,
        requests=found["totalRequests"],
        failed=found["failedRequests"],
        retried=found.get("retriedRequests", 0),
        points=found["totalPoints"],
        mean=found["avgLatency"] / 1e3,
        shortest=found["minLatency"] / 1e3,
        longest=found["maxLatency"] / 1e3,
    )


def digest(path: Path, report: Report, window: Window) -> Digest:
    """Reduce the lines of requests to the window. Raises ParseError where they and the report differ."""
    table = _read(path)
    end, latency, points, retries = (
        table[name].to_numpy() for name in ("end", "latency", "points", "retries")
    )
    succeeded = pc.equal(table["outcome"], "ok").to_numpy()
    _agree(path, "requests", len(end), report.requests)
    _agree(path, "failed requests", int((~succeeded).sum()), report.failed)
    _agree(path, "retried requests", int((retries > 0).sum()), report.retried)
    _agree(path, "points", int(points[succeeded].sum()), report.points)
    low, high = round(window.start * 1e6), round(window.end * 1e6)
    inside = (end >= low) & (end < high)
    chosen = np.flatnonzero(inside & succeeded)
    chosen = chosen[np.argsort(end[chosen], kind="stable")]
    seconds = int(window.seconds)
    bins = (end[chosen] - low) // 1_000_000
    totals = np.bincount(bins, weights=points[chosen], minlength=seconds)[:seconds]
    return Digest(
        latency=latency[chosen],
        completed=(end[chosen] - low) / 1e6,
        tries=retries[chosen],
        points=int(points[chosen].sum()),
        retries=int(retries[inside].sum()),
        failed=int((inside & ~succeeded).sum()),
        throughput=tuple(map(float, totals)),
    )


def _agree(path: Path, what: str, lines: int, report: int) -> None:
    if lines != report:
        raise ParseError(f"{path}: has {lines} {what}, and the report {report}", remedy=_REMEDY)


def _read(path: Path) -> pa.Table:
    table = read(path, _COLUMNS, _LINE, _REMEDY)
    if not pc.all(pc.is_in(table["outcome"], pa.array(["ok", "failed"]))).as_py():
        raise unknown(path, _LINE, _REMEDY)
    return table


def _numbers(place: str, line: str, keys: frozenset[str]) -> dict[str, int]:
    try:
        found: Any = json.loads(line)
    except ValueError as error:
        raise ParseError(f"{place}: no report: {line[:200]!r}: {error}", remedy=_REMEDY) from error
    if not isinstance(found, dict) or found.keys() != keys:
        raise ParseError(
            f"{place}: other keys than {', '.join(sorted(keys))}: {line[:200]!r}", remedy=_REMEDY
        )
    for name, value in found.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ParseError(f"{place}: {name}: {value!r} is no count", remedy=_REMEDY)
    if not found["duration"] or not found["totalRequests"]:
        raise ParseError(f"{place}: nothing was done: {line[:200]!r}", remedy="see the server's log")
    return {str(name): int(value) for name, value in found.items()}
