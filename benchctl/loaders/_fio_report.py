"""fio's report in its form json+, and its log of operations per second.

Owns their form. Source: fio's stat.c and iolog.c.
"""

from __future__ import annotations

import json
import re
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

from benchctl.errors import ParseError

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.loaders.loader import Ints

REPORT = "fio.json"
SERIES = "iops"
_LINE = re.compile(r"(\d+), (\d+), [0-2], \d+, \d+")  # ms, operations in them, direction, bytes, offset
_LATE = 200  # ms that an entry may be off its second; another one is of a part of a second
_REMEDY = "look at the raw files; a form that fio really prints belongs into benchctl/loaders/fio.py"


class Side(NamedTuple):
    """What fio says of reads, or of writes."""

    operations: int
    iops: float
    bytes: float  # per second
    mean: float  # nanoseconds
    longest: float  # nanoseconds
    bins: dict[str, int]  # nanoseconds -> requests


def read(raw: Path) -> dict[str, Any]:
    """Read the report; nothing may stand beside it. Raises ParseError."""
    for name in ("stdout", "stderr"):
        said = (raw / name).read_text(errors="backslashreplace").strip() if (raw / name).exists() else ""
        if said:
            raise ParseError(f"{raw / name}:1: fio says: {said.splitlines()[0][:200]}", remedy=_REMEDY)
    path = raw / REPORT
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ParseError(f"{path}: not there", remedy="fio has to write it") from error
    except ValueError as error:
        raise ParseError(f"{path}: not JSON: {error}", remedy=_REMEDY) from error
    jobs = report.get("jobs") if isinstance(report, dict) else None
    if not isinstance(jobs, list) or len(jobs) != 1 or "fio version" not in report:
        raise ParseError(f"{path}: expected the report of one job", remedy=_REMEDY)
    if jobs[0].get("error"):
        raise ParseError(f"{path}: the job ended with error {jobs[0]['error']}", remedy="see its stderr")
    return report


def side_of(raw: Path, job: dict[str, Any], name: str) -> Side:
    """The reads, or the writes, of a job. Raises ParseError."""
    try:
        part = job[name]
        spread = part["lat_ns"]
        bins = {str(int(value)): int(count) for value, count in spread.get("bins", {}).items()}
        side = Side(
            int(part["total_ios"]), float(part["iops"]), float(part["bw_bytes"]),
            float(spread["mean"]), float(spread["max"]), bins,
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ParseError(
            f"{raw / REPORT}: {name}: {error!r} is missing or no number", remedy=_REMEDY
        ) from error
    counted = sum(bins.values())
    if min(side.operations, *bins.values(), 0) < 0 or counted != int(spread["N"]):
        raise ParseError(
            f"{raw / REPORT}: {name}: the bins hold {counted} of {spread['N']} requests", remedy=_REMEDY
        )
    return side


def quantile(values: Ints, counts: Ints, q: float) -> float:
    """The quantile of ascending values, each there so many times: numpy's, of all of them in a row."""
    import numpy as np

    position = (int(counts.sum()) - 1) * q
    ends = counts.cumsum()
    low, high = (values[np.searchsorted(ends, at, "right")] for at in (int(position), ceil(position)))
    return float(low + (high - low) * (position % 1))


def seconds(raw: Path) -> tuple[float, ...]:
    """Operations in each full second that fio has logged: the last one may be missing. Raises ParseError."""
    path = raw / f"{SERIES}_iops.log"
    found: dict[int, float] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise ParseError(f"{path}: not there", remedy="fio has to write it") from error
    for number, line in enumerate(lines, start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ParseError(f"{path}:{number}: unknown line: {line[:200]!r}", remedy=_REMEDY)
        second = round(int(match[1]) / 1000)
        if abs(int(match[1]) - 1000 * second) <= _LATE:
            found[second] = found.get(second, 0.0) + float(match[2])
    return tuple(found.get(second, 0.0) for second in range(1, max(found, default=0) + 1))
