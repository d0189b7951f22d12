"""What BenchBase leaves of one run: its words on stdout, the summary, and the list of transactions.

Every line is known or an error. Source: BenchBase's DBWorkload.java, ResultWriter.java, Histogram.java.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from benchctl.errors import ParseError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

REMEDY = (
    "look at the raw files; a form that BenchBase really has belongs into this module of benchctl.loaders"
)
_BOLD = re.compile(r"\x1b?\[0;1m|\x1b?\[0;0m")
_LOG = re.compile(r"\[(?P<level>[A-Z]+) *\] \d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \[[^\]]+\] +[\w.]+ \w+ - .*")
_CONFIGURATION = (
    "Benchmark", "Configuration", "Type", "Driver", "URL", "Isolation", "Batch Size", "DDL Path",
    "Loader Threads", "Session Setup File", "Scale Factor", "Terminals", "New Connection Per Txn",
    "Reconnect on Connection Failure", "Selectivity",
)  # fmt: skip
_SETTING = re.compile(rf"(?:{'|'.join(map(re.escape, _CONFIGURATION))}):\s+\S.*")
_ROW = re.compile(r"[\w.$]+/\d+ +\[ *(?P<count>\d+)\] *\**")
SECTIONS = (
    "Completed Transactions",
    "Aborted Transactions",
    "Rejected Transactions (Server Retry)",
    "Rejected Transactions (Retry Different)",
    "Unexpected SQL Errors",
    "Unknown Status Transactions",
)
_LATENCIES = {
    "Minimum": "latency_min",
    "Average": "latency_mean",
    "Median": "latency_p50",
    "25th Percentile": "",
    "75th Percentile": "",
    "90th Percentile": "latency_p90",
    "95th Percentile": "latency_p95",
    "99th Percentile": "latency_p99",
    "Maximum": "latency_max",
}
_HEAD = (
    "Transaction Type Index,Transaction Name,Start Time (microseconds),Latency (microseconds),"
    "Worker Id (start number),Phase Id (index in config file)"
)


_LINE = re.compile(r"\d+,[^,]+,\d+\.\d+,\d+,\d+,\d+")


class Summary(NamedTuple):
    """Of the measured time, the warm-up left out."""

    requests: int  # that were sent, whatever became of them
    goodput: float  # 1/s, of those that were committed
    rate: float  # 1/s, of all
    latencies: dict[str, float]  # metric -> ms, of all
    terminals: int
    seconds: float


def counts(raw: Path) -> dict[str, int]:
    """How many transactions came to which end, from the first one on, by section. Raises ParseError."""
    path = raw / "stdout"
    found: dict[str, int] = {}
    section = ""
    ended = False
    for number, line in _lines(path):
        row = _ROW.fullmatch(line)
        if line.endswith(":") and line[:-1] in SECTIONS and line[:-1] not in found:
            section = line[:-1]
            found[section] = 0
        elif section and row:
            found[section] += int(row["count"])
        elif section and len(found) == len(SECTIONS) and set(line.partition(" - ")[2]) == {"="}:
            ended = True
        elif not (section and line == "<EMPTY>") and (section or not _is_known(path, number, line)):
            raise ParseError(f"{path}:{number}: unknown line: {line[:200]!r}", remedy=REMEDY)
    if not ended:
        missing = [name for name in SECTIONS if name not in found] or ["the line after them"]
        raise ParseError(
            f"{path}: BenchBase did not end by itself, or was cut: no {', '.join(missing)}", remedy=REMEDY
        )
    return found


def summary(raw: Path) -> Summary:
    """Its figures, in ms and 1/s. Raises ParseError for a run that did not end, and for an unknown form."""
    path = _only(raw, "*.summary.json")
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        state = found["Final State"]
        times = found["Latency Distribution"]
        names = {f"{words} Latency (microseconds)": name for words, name in _LATENCIES.items()}
        latencies = {name: times[words] / 1000 for words, name in names.items() if name}
        result = Summary(
            requests=int(found["Measured Requests"]),
            goodput=float(found["Goodput (requests/second)"]),
            rate=float(found["Throughput (requests/second)"]),
            latencies=latencies,
            terminals=int(found["terminals"]),
            seconds=found["Elapsed Time (nanoseconds)"] / 1e9,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ParseError(f"{path}: {type(error).__name__}: {error}", remedy=REMEDY) from error
    if set(times) != set(names):
        raise ParseError(
            f"{path}: other latencies than {', '.join(names)}: {', '.join(times)}", remedy=REMEDY
        )
    if state != "EXIT":
        raise ParseError(
            f"{path}: BenchBase ended in the state {state!r}", remedy="see its last words in stdout"
        )
    return result


def microseconds(raw: Path) -> NDArray[np.integer]:
    """Latencies of all measured requests, in the order of the file. Raises ParseError."""
    from benchctl.loaders._columns import FLOAT, INTEGER, TEXT, read, unknown  # late: pyarrow is slow

    path = _only(raw, "*.raw.csv")
    head, _, rest = path.read_text(encoding="utf-8").partition("\n")
    if head != _HEAD:
        raise ParseError(f"{path}:1: unknown head of a table: {head[:200]!r}", remedy=REMEDY)
    if not rest.endswith("\n"):
        raise ParseError(
            f"{path}:{rest.count(chr(10)) + 2}: the last line has no end: the table was cut", remedy=REMEDY
        )
    kinds = (INTEGER, TEXT, FLOAT, INTEGER, INTEGER, INTEGER)
    columns = dict(zip(_HEAD.split(","), kinds, strict=True))
    table = read(path, columns, _LINE, REMEDY, skip=1, delimiter=",")
    latency: NDArray[np.integer] = table["Latency (microseconds)"].to_numpy()
    if (latency < 0).any():
        raise unknown(path, _LINE, REMEDY, skip=1)
    return latency


def _is_known(path: Path, number: int, line: str) -> bool:
    log = _LOG.fullmatch(line)
    if log and log["level"] in {"ERROR", "FATAL"}:
        raise ParseError(
            f"{path}:{number}: BenchBase says: {line[:300]}", remedy="see the server's log of this trial"
        )
    return bool(log or _SETTING.fullmatch(line))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Every line that is not empty, without BenchBase's bold type."""
    try:
        text = path.read_text(encoding="utf-8", errors="backslashreplace")
    except FileNotFoundError as error:
        raise ParseError(f"{path}: not there", remedy="the trial's raw files are incomplete") from error
    plain = (_BOLD.sub("", line).rstrip() for line in text.split("\n"))
    return ((number, line) for number, line in enumerate(plain, start=1) if line)


def _only(raw: Path, pattern: str) -> Path:
    found = sorted(raw.glob(pattern))
    if len(found) != 1:
        raise ParseError(
            f"{raw}: expected one file {pattern}, there are {len(found)}", remedy="see BenchBase's stdout"
        )
    return found[0]
