"""What go-tpc prints with --output json: a report each second, `Finished`, the summary, its own score.

Every line has a known form, or is an error with its place; all numbers are strings in its JSON.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from benchctl.errors import ParseError
from benchctl.loaders._operations import Report
from benchctl.loaders._shared import content

if TYPE_CHECKING:
    from pathlib import Path

NEW_ORDER = "NEW_ORDER"
TRANSACTIONS = (NEW_ORDER, "PAYMENT", "ORDER_STATUS", "DELIVERY", "STOCK_LEVEL")
_ERROR = "_ERR"
_OPERATIONS = {*TRANSACTIONS, *(f"{kind}{_ERROR}" for kind in TRANSACTIONS)}
_PERCENTILES = ("50th(ms)", "90th(ms)", "95th(ms)", "99th(ms)", "99.9th(ms)")
_NUMBERS = ("Takes(s)", "Count", "TPM", "Sum(ms)", "Avg(ms)", *_PERCENTILES, "Max(ms)")
_COLUMNS = {"Prefix", "Operation", *_NUMBERS}
_NUMBER = re.compile(r"\d+(?:\.\d)?")
_FIGURES = re.compile(" ".join([_NUMBER.pattern] * len(_NUMBERS)))
_SCORE = {"tpmC": _NUMBER, "tpmTotal": _NUMBER, "efficiency": re.compile(r"\d+\.\d%")}
_CURRENT, _SUMMARY, _FINISHED = "[Current] ", "[Summary] ", "Finished"
_REMARK = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d maxprocs: .*")
_TOLERANCE = 0.001  # rates are taken some microseconds apart
_REMEDY = (
    "look at the raw files; a form that go-tpc really prints belongs into benchctl/loaders/_go_tpc_text.py"
)


class Text(NamedTuple):
    """What a run printed: a report of each second, and the summary."""

    seconds: tuple[Report, ...]
    summary: Report


def read_text(raw: Path) -> Text:
    """Read a run's stdout; stderr may hold a remark on CPUs. Raises ParseError with file and line."""
    _require_silence(raw / "stderr")
    path = raw / "stdout"
    lines = content(path).split("\n")
    if lines.pop():
        raise ParseError(f"{path}:{len(lines) + 1}: cut in the middle of a line", remedy=_REMEDY)
    if _FINISHED not in lines:
        raise ParseError(f"{path}:{len(lines) + 1}: it ends before `{_FINISHED}`", remedy=_REMEDY)
    end = lines.index(_FINISHED)
    seconds = [_report(path, number, lines[number - 1], _CURRENT) for number in range(1, end + 1)]
    if len(lines) != end + 3:
        raise ParseError(f"{path}:{end + 2}: expected the summary and one more line", remedy=_REMEDY)
    summary = _report(path, end + 2, lines[end + 1], _SUMMARY)
    _check(path, end + 3, summary, _json(path, end + 3, lines[end + 2]))
    for one in seconds:
        if any(one.count(name) > summary.count(name) for name in one.rows):
            raise ParseError(f"{path}: a second counts more than all together", remedy=_REMEDY)
    return Text(tuple(seconds), summary)


def _report(path: Path, number: int, line: str, prefix: str) -> Report:
    rows: dict[str, dict[str, float]] = {}
    for row in _json(path, number, line):
        good = row.keys() == _COLUMNS and row["Prefix"] == prefix and row["Operation"] in _OPERATIONS
        good = good and row["Operation"] not in rows
        if not good or not _FIGURES.fullmatch(" ".join(row[name] for name in _NUMBERS)):
            raise ParseError(f"{path}:{number}: unknown row: {str(row)[:300]}", remedy=_REMEDY)
        rows[row["Operation"]] = {name: float(row[name]) for name in _NUMBERS}
    return Report(rows, _ERROR)


def _json(path: Path, number: int, line: str) -> list[dict[str, str]]:
    """A line's rows, whose values are all strings."""
    try:
        return msgspec.json.decode(line, type=list[dict[str, str]])
    except msgspec.DecodeError as error:
        raise ParseError(f"{path}:{number}: unknown line: {line[:200]!r}: {error}", remedy=_REMEDY) from error


def _check(path: Path, number: int, summary: Report, score: list[dict[str, str]]) -> None:
    """The score that go-tpc gives itself is what its summary adds up to."""
    good = len(score) == 1 and set(score[0]) == set(_SCORE)
    if not good or not all(form.fullmatch(score[0][name]) for name, form in _SCORE.items()):
        raise ParseError(f"{path}:{number}: unknown line: {str(score)[:200]}", remedy=_REMEDY)
    if not summary.count(NEW_ORDER):
        raise ParseError(
            f"{path}: not one new order succeeded, {summary.errors} errors", remedy="see the server's log"
        )
    total = sum(summary.rows[kind]["TPM"] for kind in TRANSACTIONS if kind in summary.rows)
    for name, own in (("tpmC", summary.rows[NEW_ORDER]["TPM"]), ("tpmTotal", total)):
        if abs(float(score[0][name]) - own) > 1 + _TOLERANCE * own:
            raise ParseError(
                f"{path}:{number}: {name} is {score[0][name]}, the summary says {own:g}", remedy=_REMEDY
            )


def _require_silence(path: Path) -> None:
    for number, line in enumerate(content(path).splitlines(), start=1):
        if not _REMARK.fullmatch(line):
            raise ParseError(f"{path}:{number}: go-tpc says: {line[:200]}", remedy=_REMEDY)
