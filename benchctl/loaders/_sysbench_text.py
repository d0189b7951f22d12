"""What sysbench prints, each line known or an error; its figures have to agree with one another.

Owns the form of sysbench 1.0 for its OLTP tests. Must not compute metrics.
Source: sysbench's src/sysbench.c, src/db_driver.c and src/sb_histogram.c.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

from benchctl.errors import ParseError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_RATE = r"\s+\(\d+\.\d\d per sec\.\)"
_FIGURE = r"\d+\.\d\d"
_HEAD = {
    "version": r"sysbench (\d+\.\d+\S*) \(using .+\)",
    "threads": r"Number of threads: (\d+)",
    "rate": r"Target transaction rate: (\d+)/sec",
    "checkpoint": r"Report checkpoint\(s\) at (\d+) seconds",
    "began": r"(Threads started!)",
}
_REPORT = {
    "read": r"        read: +(\d+)",
    "write": r"        write: +(\d+)",
    "other": r"        other: +(\d+)",
    "total": r"        total: +(\d+)",
    "transactions": rf"    transactions: +(\d+){_RATE}",
    "queries": rf"    queries: +(\d+){_RATE}",
    "ignored": rf"    ignored errors: +(\d+){_RATE}",
    "reconnects": rf"    reconnects: +(\d+){_RATE}",
    "seconds": r"    total time: +(\d+\.\d{4})s",
    "events": r"    total number of events: +(\d+)",
    "minimum": rf"         min: +({_FIGURE})",
    "mean": rf"         avg: +({_FIGURE})",
    "maximum": rf"         max: +({_FIGURE})",
    "percentile": rf"         99th percentile: +({_FIGURE})",
    "sum": rf"         sum: +({_FIGURE})",
    "share": r"    events \(avg/stddev\): +(\d+\.\d{4})/\d+\.\d\d",
}
_PER_SECOND = re.compile(r"    transactions: +\d+ +\((\d+\.\d\d) per sec\.\)")
_SECOND = re.compile(
    rf"\[ (?P<second>\d+)s \] thds: \d+ tps: (?P<tps>{_FIGURE}) qps: {_FIGURE}"
    rf" \(r/w/o: {_FIGURE}/{_FIGURE}/{_FIGURE}\)"
    rf" lat \(ms,99%\): {_FIGURE} err/s: {_FIGURE} reconn/s: {_FIGURE}"
)
_BUCKET = re.compile(r" *(?P<ms>\d+\.\d{3}) \|\** +(?P<count>\d+)")
_CHECKPOINT = re.compile(r"\[ \d+s \] Checkpoint report:")
_REMARK = re.compile(
    r" *|Running the test with following options:|Report intermediate results every 1 second\(s\)"
    r"|Initializing random number generator from seed \(\d+\)\.|Initializing worker threads\.\.\."
    r"|\[ \d+s \] queue length: \d+, concurrency: \d+"
    r"|Latency histogram \(values are in milliseconds\)| +value  -+ distribution -+ count"
    r"|SQL statistics:|    queries performed:|General statistics:|Latency \(ms\):|Threads fairness:"
    r"|    execution time \(avg/stddev\): +\d+\.\d{4}/\d+\.\d\d"
)
_FAILURE = re.compile(r"(?:FATAL|ALERT): (.*)")
# At a checkpoint sysbench reads and resets counters, timers and histogram one after the other, under load:
# what ends in between is counted by some of them only.
_RESET = 0.01
_REMEDY = "look at the raw files; a form that sysbench really prints belongs into _sysbench_text.py"


class Text(NamedTuple):
    """What sysbench measured since its checkpoint, or since its beginning where there is none; in ms."""

    version: str
    threads: int
    rated: bool
    checkpoint: int | None  # seconds after its threads began
    seconds: float
    transactions: int
    queries: int
    ignored: int  # errors after which a transaction was executed again
    reconnects: int
    minimum: float
    maximum: float
    mean: float | None  # None when nothing was completed
    buckets: tuple[tuple[float, int], ...]  # the middle of each, and its count
    per_second: tuple[tuple[int, float], ...]  # second since its threads began, transactions per second


class _Reading:
    """The lines so far, by what they say."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.head: dict[str, str] = {}
        self.reports: list[dict[str, float]] = []
        self.per_second: list[tuple[int, float]] = []
        self.buckets: list[tuple[float, int]] = []
        self._in_checkpoint = False

    def take(self, number: int, line: str) -> None:
        if found := _SECOND.fullmatch(line):
            self.per_second.append((int(found["second"]), float(found["tps"])))
        elif found := _BUCKET.fullmatch(line):
            self.buckets.append((float(found["ms"]), int(found["count"])))
        elif _CHECKPOINT.fullmatch(line):
            self._in_checkpoint = True
        elif line == "SQL statistics:":
            self.reports.append({"checkpoint": float(self._in_checkpoint)})
            self._in_checkpoint = False
        elif failure := _FAILURE.fullmatch(line):
            raise ParseError(
                f"{self.path}:{number}: sysbench failed: {failure[1]!r}", remedy="see the server's log"
            )
        elif not (self._figure(number, line) or _REMARK.fullmatch(line)):
            raise ParseError(f"{self.path}:{number}: unknown line: {line[:200]!r}", remedy=_REMEDY)

    def _figure(self, number: int, line: str) -> bool:
        for name, pattern in _HEAD.items():
            if found := re.fullmatch(pattern, line):
                self._once(number, line, name in self.head)
                self.head[name] = found[1]
                return True
        for name, pattern in _REPORT.items() if self.reports else ():
            if found := re.fullmatch(pattern, line):
                self._once(number, line, name in self.reports[-1])
                self.reports[-1][name] = float(found[1])
                if per_second := _PER_SECOND.fullmatch(line):
                    self.reports[-1]["tps"] = float(per_second[1])
                return True
        return False

    def _once(self, number: int, line: str, there: bool) -> None:  # noqa: FBT001 - whether it is there
        if there:
            raise ParseError(f"{self.path}:{number}: a second time: {line!r}", remedy=_REMEDY)


def read_text(raw: Path) -> Text:
    """Read raw/stdout; raw/stderr has to be empty. Raises ParseError for a line that is not known."""
    for number, line in _lines(raw / "stderr"):
        raise ParseError(f"{raw / 'stderr'}:{number}: sysbench says: {line[:200]}", remedy=_REMEDY)
    reading = _Reading(raw / "stdout")
    for number, line in _lines(reading.path):
        reading.take(number, line)
    final, before = _reports(reading)
    text = Text(
        version=reading.head["version"],
        threads=int(reading.head["threads"]),
        rated="rate" in reading.head,
        checkpoint=int(reading.head["checkpoint"]) if "checkpoint" in reading.head else None,
        seconds=round(final["seconds"] - before, 4),
        transactions=int(final["transactions"]),
        queries=int(final["queries"]),
        ignored=int(final["ignored"]),
        reconnects=int(final["reconnects"]),
        minimum=final["minimum"],
        maximum=final["maximum"],
        mean=_mean(final, int(reading.head["threads"])),
        buckets=tuple(reading.buckets),
        per_second=tuple(reading.per_second),
    )
    _require_sum(reading.path, text, final)
    return text


def _reports(reading: _Reading) -> tuple[dict[str, float], float]:
    """The report at the end, and the second since which it counts. Raises ParseError where one lacks."""
    *earlier, last = reading.reports or [{"checkpoint": 1.0}]
    missing = [name for name in ("version", "threads", "began") if name not in reading.head]
    missing += [name for name in (*_REPORT, "tps") if name not in last]
    if missing or last["checkpoint"]:
        raise ParseError(
            f"{reading.path}: the report at the end lacks {', '.join(missing) or 'itself'}:"
            " sysbench did not end by itself",
            remedy="see the server's log",
        )
    if len(earlier) != ("checkpoint" in reading.head) or not all(
        {"checkpoint", "seconds"} <= report.keys() and report["checkpoint"] for report in earlier
    ):
        raise ParseError(
            f"{reading.path}: the report of the warm-up is not there, or not whole", remedy=_REMEDY
        )
    return last, earlier[0]["seconds"] if earlier else 0.0


def _mean(final: dict[str, float], threads: int) -> float | None:
    """From the sum, which has more digits, and the number of events that it is of."""
    timed = round(final["share"] * threads)
    return final["sum"] / timed if timed else None


def _require_sum(path: Path, text: Text, final: dict[str, float]) -> None:
    """Raise ParseError where two figures for one thing differ."""
    queries = final["read"] + final["write"] + final["other"]
    rate = text.transactions / text.seconds if text.seconds > 0 else math.inf
    counted = sum(count for _, count in text.buckets)
    unsure = 0.0 if text.checkpoint is None else _RESET * text.transactions + text.threads
    problems = {
        f"{text.transactions} transactions in {final['events']:g} events": text.transactions
        != final["events"],
        f"{queries:g} statements in {text.queries} queries": not queries == final["total"] == text.queries,
        f"{final['tps']}/s where {rate:.2f}/s were counted": abs(final["tps"] - rate) > 0.01 + _RESET * rate,
        f"a mean of {final['mean']} ms where the sum gives {text.mean} ms": (
            abs(final["mean"] - (text.mean or 0.0)) > 0.0101
        ),
        f"{counted} in the histogram of {text.transactions} transactions": (
            abs(counted - text.transactions) > unsure
        ),
        f"a 99th percentile of {final['percentile']} ms that is not the histogram's": (
            abs(final["percentile"] - _percentile(text.buckets, counted)) > 0.0061
        ),
    }
    for problem, there in problems.items():
        if there:
            raise ParseError(f"{path}: the figures do not add up: {problem}", remedy=_REMEDY)


def _percentile(buckets: tuple[tuple[float, int], ...], counted: int) -> float:
    """The 99th as sysbench takes it from the histogram."""
    wanted, seen = math.floor(counted * 0.99 + 0.5), 0
    for milliseconds, count in buckets:
        seen += count
        if seen >= wanted:
            return milliseconds
    return 0.0


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Every line with its number; an empty last one is the end of the one before."""
    try:
        text = path.read_text(encoding="utf-8", errors="backslashreplace")
    except FileNotFoundError as error:
        raise ParseError(f"{path}: not there", remedy="the trial's raw files are incomplete") from error
    return ((number, line) for number, line in enumerate(text.split("\n"), start=1) if line)
