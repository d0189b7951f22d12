"""What pgbench says: the summary on stdout and the progress lines on stderr, each line known or an error.

Owns the forms of PostgreSQL 13 to 18 in the C locale. Before 15 it counts no failures: a client stops at one,
which it says. Must not compute metrics: those come from the log.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from benchctl.errors import ParseError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_COUNT = r"(\d+) \(\d+\.\d{3}%\)"
_MS = r"(\d+\.\d{3}) ms"
_SD = r"(\d+\.\d{3}|NaN)"  # of one transaction, or of equal ones, pgbench takes the root of a rounding error
_SUMMARY = {
    "version": r"pgbench \(([^\s,]+)(?: \([^)]*\))?(?:, server .+)?\)",
    "script": r"transaction type: (.+)",
    "scale": r"scaling factor: (\d+)",
    "partition_method": r"partition method: (\w+)",
    "partitions": r"partitions: (\d+)",
    "protocol": r"query mode: (\w+)",
    "clients": r"number of clients: (\d+)",
    "threads": r"number of threads: (\d+)",
    "tries": r"maximum number of tries: (\d+)",
    "duration": r"duration: (\d+) s",
    "succeeded": r"number of transactions actually processed: (\d+)",
    "failed": rf"number of failed transactions: {_COUNT}",
    "serialization": rf"number of serialization failures: {_COUNT}",
    "deadlock": rf"number of deadlock failures: {_COUNT}",
    "retried": rf"number of transactions retried: {_COUNT}",
    "retries": r"total number of retries: (\d+)",
    "skipped": rf"number of transactions skipped: {_COUNT}",
    "late": r"number of transactions above the \d+\.\d ms latency limit: (\d+)/\d+ \(\d+\.\d{3}%\)",
    "latency_mean": rf"latency average = {_MS}",
    "latency_sd": rf"latency stddev = {_SD} ms",
    "lag": rf"rate limit schedule lag: avg (\d+\.\d{{3}}) \(max {_MS[:-3]}\) ms",
    "connecting": rf"initial connection time = {_MS}",
    "tps_13": r"tps = (\d+\.\d+) \(including connections establishing\)",
    "tps_13_connected": r"tps = (\d+\.\d+) \(excluding connections establishing\)",
    "tps": r"tps = (\d+\.\d+) \(without initial connection time\)",
}
_REQUIRED = ("version", "clients", "threads", "tries", "succeeded", "failed")
_NOT_IN_13 = {"version", "tries", "failed"}
_NOT_IN_14 = {"tries", "failed"}
_PROGRESS = re.compile(
    r"progress: (?P<time>\d+\.\d{3}) s, (?P<tps>\d+\.\d) tps, lat \d+\.\d{3} ms stddev "
    + _SD
    + r"(?P<failed>, \d+ failed)?(?:, lag \d+\.\d{3} ms(?:, \d+ skipped)?)?(?:, \d+ retried, \d+ retries)?"
)
# What else may stand on stderr: the seed, and what the server or libpq tells a client that asked for nothing.
_REMARK = re.compile(
    r"pgbench: setting random seed to \d+|(?:DEBUG|LOG|INFO|NOTICE|WARNING|DETAIL|HINT|CONTEXT):  .*"
)
_FAILURE = re.compile(r"pgbench: (?:error|fatal): (.*)")
_REMEDY = (
    "look at the raw files; a form that pgbench really prints belongs into benchctl/loaders/_pgbench_text.py"
)


class Summary(NamedTuple):
    """The end of pgbench's stdout; counts are of the whole invocation, warm-up included."""

    version: str  # empty of 13, which does not say it
    counts_failures: bool  # as it does since 15
    clients: int
    threads: int
    tries: int
    rated: bool
    succeeded: int
    failed: int
    skipped: int
    retries: int | None  # None when each transaction is tried once
    latency_mean: float | None  # ms; None when nothing succeeded


class Progress(NamedTuple):
    """One progress line: the transactions per second since the line before."""

    time: float  # seconds since the epoch
    tps: float
    counts_failures: bool


class Text(NamedTuple):
    summary: Summary
    progress: tuple[Progress, ...]


def read_text(raw: Path) -> Text:
    """Read raw/stdout and raw/stderr. Raises ParseError for a line that no known pgbench prints."""
    progress = tuple(_progress(raw / "stderr"))
    summary = _summary(raw / "stdout")
    if any(line.counts_failures != summary.counts_failures for line in progress):
        raise ParseError(f"{raw / 'stderr'}: is of another pgbench than {raw / 'stdout'}", remedy=_REMEDY)
    return Text(summary, progress)


def _summary(path: Path) -> Summary:
    found: dict[str, str] = {}
    for number, line in _lines(path):
        name, value = _recognise(path, number, line)
        if name in found:
            raise ParseError(f"{path}:{number}: a second time: {line!r}", remedy=_REMEDY)
        found[name] = value
    major = int(re.split(r"\D", found.get("version", "13" if "tps_13" in found else "15"))[0])
    without = _NOT_IN_13 if major < 14 else _NOT_IN_14 if major < 15 else set()
    missing = [name for name in _REQUIRED if name not in {*found, *without}]
    if missing:
        raise ParseError(
            f"{path}: the summary lacks {', '.join(missing)}: pgbench did not end by itself",
            remedy=f"its last words are in {path.with_name('stderr')}",
        )
    return Summary(
        version=found.get("version", ""),
        counts_failures="failed" in found,
        clients=int(found["clients"]),
        threads=int(found["threads"]),
        tries=int(found.get("tries", 1)),
        rated="lag" in found,
        succeeded=int(found["succeeded"]),
        failed=int(found.get("failed", 0)),
        skipped=int(found.get("skipped", 0)),
        retries=int(found["retries"]) if "retries" in found else None,
        latency_mean=float(found["latency_mean"]) if "latency_mean" in found else None,
    )


def _recognise(path: Path, number: int, line: str) -> tuple[str, str]:
    for name, pattern in _SUMMARY.items():
        match = re.fullmatch(pattern, line)
        if match:
            return name, match[1]
    raise _unknown(path, number, line)


def _progress(path: Path) -> Iterator[Progress]:
    for number, line in _lines(path):
        match = _PROGRESS.fullmatch(line)
        if match:
            yield Progress(float(match["time"]), float(match["tps"]), match["failed"] is not None)
        elif failure := _FAILURE.fullmatch(line):
            raise ParseError(
                f"{path}:{number}: pgbench failed: {failure[1]!r}",
                remedy="look at the server's log of this trial",
            )
        elif not _REMARK.fullmatch(line):
            raise _unknown(path, number, line)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Every line but empty ones, with its number. A last line that was cut in the middle is no known line."""
    try:
        text = path.read_text(encoding="utf-8", errors="backslashreplace")
    except FileNotFoundError as error:
        raise ParseError(f"{path}: not there", remedy="the trial's raw files are incomplete") from error
    return ((number, line) for number, line in enumerate(text.split("\n"), start=1) if line)


def _unknown(path: Path, number: int, line: str) -> ParseError:
    return ParseError(f"{path}:{number}: unknown line: {line[:200]!r}", remedy=_REMEDY)
