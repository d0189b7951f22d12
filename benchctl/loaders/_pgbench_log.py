"""pgbench's per-transaction log: read in blocks, cut to the window, reduced to a digest or a table.

A line is `client tx time script epoch microseconds [lag] [retries]`; `time` is a latency in microseconds or
one of the words in FAILED and SKIPPED. Memory is bounded by one block plus four bytes for each transaction of
the window, and its lag. Must not trust the log alone: its counts have to agree with the summary and the
progress lines.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from benchctl.errors import ParseError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from benchctl.loaders._pgbench_text import Summary, Text
    from benchctl.model.measurement import Window

    Ints = NDArray[np.integer]

FAILED = ("failed", "serialization", "deadlock")
SKIPPED = "skipped"
_UNUSED = ("client", "tx", "script")  # not converted: that would take as long as all the rest
BLOCK_BYTES = 4 << 20
PROGRESS_TOLERANCE = 0.1  # the thread that prints may be late by so much of the seconds that it reports
_REMEDY = "the raw files of this trial do not belong together, or were cut: repeat the trial"


class Rows(NamedTuple):
    """Transactions of one outcome, as columns. Microseconds; `done` since the epoch."""

    done: Ints
    latency: Ints  # meaningless for those that failed
    lag: Ints | None  # None without a rate
    retries: Ints | None  # None when each is tried once

    def where(self, mask: NDArray[np.bool_]) -> Rows:
        lag = None if self.lag is None else self.lag[mask]
        retries = None if self.retries is None else self.retries[mask]
        return Rows(self.done[mask], self.latency[mask], lag, retries)

    def between(self, low: int, high: int) -> Rows:
        """Those that completed in [low, high)."""
        return self.where((self.done >= low) & (self.done < high))


class Block(NamedTuple):
    """Consecutive lines of one log file, by outcome."""

    succeeded: Rows
    failed: Rows
    skipped: int  # never started, because they were late (-L)


class Digest(NamedTuple):
    """What the window's transactions say; arrays are microseconds, everything else is ms."""

    requests: int  # succeeded and failed
    failed: int
    retries: int
    latency: Ints  # of those that succeeded
    lag: Ints | None
    throughput: tuple[float, ...]  # transactions in each full second of the window
    latency_mean: tuple[float | None, ...]  # None for a second in which nothing was completed

    @property
    def mean_latency(self) -> float | None:
        return _mean_ms(self.latency)

    @property
    def mean_lag(self) -> float | None:
        return None if self.lag is None else _mean_ms(self.lag)


def quantiles_ms(microseconds: Ints, qs: tuple[float, ...]) -> list[float]:
    """Quantiles by linear interpolation, as pandas and numpy have them. Reorders its argument."""
    return [float(value) / 1000 for value in np.quantile(microseconds, qs, overwrite_input=True)]


def digest(raw: Path, text: Text, window: Window) -> Digest:
    """Reduce all log files of a trial. Raises ParseError with file and line, or the counts that differ."""
    low, high = _bounds(window)
    series = _Series(low, window)
    latencies: list[Ints] = []
    lags: list[Ints] = []
    failed = retries = 0
    for block in _checked(raw, text):
        rows, lost = block.succeeded.between(low, high), block.failed.between(low, high)
        series.add(rows)
        latencies.append(_narrow(rows.latency))
        if rows.lag is not None:
            lags.append(_narrow(rows.lag))
        failed += len(lost.done)
        retries += _sum(rows.retries) + _sum(lost.retries)
    latency = _join(latencies)
    return Digest(
        requests=len(latency) + failed,
        failed=failed,
        retries=retries,
        latency=latency,
        lag=_join(lags) if text.summary.rated else None,
        throughput=series.throughput(),
        latency_mean=series.latency_mean(),
    )


def table(raw: Path, text: Text, window: Window) -> pa.Table:
    """The window's successful transactions, one row each, in the order of completion."""
    low, high = _bounds(window)
    nothing = np.empty(0, dtype=np.int64)
    summary = text.summary
    empty = Rows(
        nothing, nothing, nothing if summary.rated else None, nothing if summary.tries != 1 else None
    )
    parts = [_table(block.succeeded.between(low, high), low) for block in _checked(raw, text)]
    return pa.concat_tables([_table(empty, low), *parts]).sort_by("completed")


def _table(rows: Rows, low: int) -> pa.Table:
    columns: dict[str, NDArray[np.number]] = {
        "completed": (rows.done - low) / 1e6,
        "latency_ms": rows.latency / 1e3,
    }
    if rows.lag is not None:
        columns["schedule_lag_ms"] = rows.lag / 1e3
    if rows.retries is not None:
        columns["retries"] = rows.retries
    return pa.table(columns)


class _Series:
    """Counts and latency sums by full second of the window; a rest shorter than a second has no value."""

    def __init__(self, low: int, window: Window) -> None:
        self._low = low
        self._seconds = int(window.seconds + 1e-6)
        self._counts = np.zeros(self._seconds + 1)
        self._sums = np.zeros(self._seconds + 1)

    def add(self, rows: Rows) -> None:
        second = np.minimum((rows.done - self._low) // 1_000_000, self._seconds)
        self._counts += np.bincount(second, minlength=self._seconds + 1)
        self._sums += np.bincount(second, weights=rows.latency, minlength=self._seconds + 1)

    def throughput(self) -> tuple[float, ...]:
        return tuple(self._counts[:-1].tolist())

    def latency_mean(self) -> tuple[float | None, ...]:
        pairs = zip(self._sums[:-1].tolist(), self._counts[:-1].tolist(), strict=True)
        return tuple(total / count / 1000 if count else None for total, count in pairs)


class _Tally:
    """Counts over the whole invocation, to hold against pgbench's own."""

    def __init__(self, text: Text) -> None:
        times = [line.time for line in text.progress]
        self._text = text
        self._span = (round(times[0] * 1e6), round(times[-1] * 1e6)) if times else (0, 0)
        self._in_span = self._succeeded = self._failed = self._skipped = self._retries = self._latency = 0

    def add(self, block: Block) -> None:
        rows = block.succeeded
        self._succeeded += len(rows.done)
        self._failed += len(block.failed.done)
        self._skipped += block.skipped
        self._retries += _sum(rows.retries) + _sum(block.failed.retries)
        self._latency += _sum(rows.latency)
        self._in_span += int(np.count_nonzero((rows.done >= self._span[0]) & (rows.done < self._span[1])))

    def check(self, raw: Path) -> None:
        """Raise ParseError when log, summary and progress lines do not tell the same."""
        summary = self._text.summary
        counted = {"transactions": self._succeeded, "failed": self._failed, "skipped": self._skipped}
        stated = {"transactions": summary.succeeded, "failed": summary.failed, "skipped": summary.skipped}
        if summary.retries is not None:
            counted["retries"], stated["retries"] = self._retries, summary.retries
        for name, count in counted.items():
            if count != stated[name]:
                raise ParseError(
                    f"{raw}: {name}: the log has {count}, {raw / 'stdout'} says {stated[name]}",
                    remedy=_REMEDY,
                )
        if summary.latency_mean is not None:
            mean = self._latency / self._succeeded / 1000
            if abs(mean - summary.latency_mean) > 0.00051:  # printed with three decimals
                raise ParseError(
                    f"{raw}: mean latency: {mean:.4f} ms in the log, {summary.latency_mean} ms in stdout",
                    remedy=_REMEDY,
                )
        self._check_progress(raw)

    def _check_progress(self, raw: Path) -> None:
        lines = self._text.progress
        if [line.time for line in lines] != sorted({line.time for line in lines}):
            raise ParseError(f"{raw / 'stderr'}: progress lines are not in the order of time", remedy=_REMEDY)
        told = sum(b.tps * (b.time - a.time) for a, b in pairwise(lines))
        second = max((line.tps for line in lines), default=0.0)
        slack = PROGRESS_TOLERANCE * told + 0.25 * second + 2 * self._text.summary.clients
        if abs(self._in_span - told) > slack:
            raise ParseError(
                f"{raw}: between the first and the last progress line: {self._in_span} transactions in the"
                f" log, {told:.0f} in {raw / 'stderr'}",
                remedy=_REMEDY,
            )


def _checked(raw: Path, text: Text) -> Iterator[Block]:
    """Every block of every log file; after the last one the totals are checked."""
    tally = _Tally(text)
    paths = sorted(raw.glob("tx.*"))
    if not paths:
        raise ParseError(f"{raw}: there is no transaction log (tx.*)", remedy=_REMEDY)
    for path in paths:
        for block in _blocks(path, text.summary):
            tally.add(block)
            yield block
    tally.check(raw)


class _Lines(NamedTuple):
    """Whole lines of a log file."""

    path: Path
    number: int  # of the first one
    data: memoryview
    columns: tuple[str, ...]


def _blocks(path: Path, summary: Summary) -> Iterator[Block]:
    """Parse a log in blocks of whole lines; the text of one block is in memory at a time."""
    columns = ["client", "tx", "time", "script", "epoch", "us"]
    columns += ["lag"] * summary.rated + ["retries"] * (summary.tries != 1)
    buffer = bytearray(BLOCK_BYTES)
    view = memoryview(buffer)
    number, kept = 1, 0
    with path.open("rb", buffering=0) as file:
        while read := file.readinto(view[kept:]):
            filled = kept + read
            end = buffer.rfind(b"\n", 0, filled) + 1
            if end:
                lines = _Lines(path, number, view[:end], tuple(columns))
                table = _parse(lines)
                yield _split(lines, table)
                number += table.num_rows
            kept = filled - end
            view[:kept] = view[end:filled]
    if kept:
        raise ParseError(f"{path}:{number}: the last line was cut: {_show(view[:kept])}", remedy=_REMEDY)


def _parse(lines: _Lines, *, words: bool = False) -> pa.Table:
    """Read the numbers that are used; `words` reads the time column alone, as text. Raises ParseError."""
    used = ["time"] if words else [name for name in lines.columns if name not in _UNUSED]
    try:
        return csv.read_csv(
            pa.BufferReader(pa.py_buffer(lines.data)),
            read_options=csv.ReadOptions(column_names=list(lines.columns)),
            parse_options=csv.ParseOptions(delimiter=" ", quote_char=False, ignore_empty_lines=False),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(used, pa.string() if words else pa.int64()),
                null_values=[] if words else [*FAILED, SKIPPED],
                include_columns=used,
            ),
        )
    except pa.ArrowInvalid as error:
        raise _bad_line(lines, str(error)) from error


def _split(lines: _Lines, table: pa.Table) -> Block:
    """Part the lines by outcome. Raises ParseError where a word stands in a column of numbers."""
    if any(table.column(name).null_count for name in table.column_names if name != "time"):
        raise _bad_line(lines, "a word stands where a number belongs")
    seconds, micros = table.column("epoch").to_numpy(), table.column("us").to_numpy()
    rows = Rows(
        done=seconds * 1_000_000 + micros,
        latency=pc.fill_null(table.column("time"), 0).to_numpy(),
        lag=table.column("lag").to_numpy() if "lag" in lines.columns else None,
        retries=table.column("retries").to_numpy() if "retries" in lines.columns else None,
    )
    if not table.column("time").null_count:
        return Block(rows, rows.where(np.zeros(len(rows.done), dtype=bool)), 0)
    words = _parse(lines, words=True).column("time")
    failed = pc.is_in(words, pa.array(FAILED)).to_numpy()
    skipped = pc.equal(words, SKIPPED).to_numpy()
    return Block(rows.where(~failed & ~skipped), rows.where(failed), int(np.count_nonzero(skipped)))


def _bad_line(lines: _Lines, reason: str) -> ParseError:
    """Find the first line that is not of the known form; slow, and only for a log that is broken."""
    words = "|".join((*FAILED, SKIPPED))
    columns = [rf"(\d+|{words})" if name == "time" else r"\d+" for name in lines.columns]
    form = re.compile(" ".join(columns).encode())
    for at, line in enumerate(bytes(lines.data).split(b"\n"), start=lines.number):
        if not form.fullmatch(line):
            expected = f"expected {' '.join(lines.columns)}"
            return ParseError(f"{lines.path}:{at}: unknown line: {_show(line)}; {expected}", remedy=_REMEDY)
    return ParseError(f"{lines.path}: after line {lines.number}: {reason}", remedy=_REMEDY)


def _show(line: bytes | memoryview) -> str:
    return repr(bytes(line[:200]).decode(errors="backslashreplace"))


def _bounds(window: Window) -> tuple[int, int]:
    return round(window.start * 1e6), round(window.end * 1e6)


def _narrow(values: Ints) -> Ints:
    """Four bytes where they hold the values: latencies up to 71 minutes."""
    return values.astype(np.uint32) if len(values) and values.max() < 2**32 else values


def _join(parts: list[Ints]) -> Ints:
    """Concatenate, giving each part's memory back as it is copied."""
    if not parts:
        return np.empty(0, dtype=np.int64)
    joined = np.empty(sum(map(len, parts)), dtype=np.result_type(*parts))
    at = len(joined)
    while parts:
        part = parts.pop()
        joined[at - len(part) : at] = part
        at -= len(part)
    return joined


def _sum(values: Ints | None) -> int:
    return 0 if values is None else int(values.sum())


def _mean_ms(microseconds: Ints) -> float | None:
    return float(microseconds.mean(dtype=np.float64)) / 1000 if len(microseconds) else None
