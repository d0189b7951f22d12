"""What go-ycsb prints, line by line: its properties, a report each second, the last one after its end.

Every line has a known form, or is an error with its place. Counts only grow from report to report.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from benchctl.errors import ParseError
from benchctl.loaders._operations import Report
from benchctl.loaders._shared import content, require_silence

if TYPE_CHECKING:
    from pathlib import Path

TOTAL = "TOTAL"
READ_MODIFY_WRITE = "READ_MODIFY_WRITE"  # a read and an update, which count by themselves too
OPERATIONS = ("READ", "UPDATE", "INSERT", "SCAN", READ_MODIFY_WRITE)
_ERROR = "_ERROR"
_COLUMNS = {
    "Takes(s)": r"\d+\.\d",
    "Count": r"\d+",
    "OPS": r"\d+\.\d",
    **{
        f"{name}(us)": r"\d+"
        for name in ("Avg", "Min", "Max", "50th", "90th", "95th", "99th", "99.9th", "99.99th")
    },
}
_NAMES = tuple(name.partition("(")[0] for name in _COLUMNS)
_VALUES = ", ".join(f"{re.escape(name)}: ({form})" for name, form in _COLUMNS.items())
_ROW = re.compile(rf"([A-Z_]+) *- {_VALUES}")
_END = re.compile(r"Run finished, takes [0-9.hmsµ]+")
_STARS = "*" * 46
_BEFORE = (
    re.compile(r"Using request distribution '\w+' a keyrange of \[\d+ \d+\]"),
    re.compile(r"Setting redis\.pool_size=\d+ \(from <threadcount>\) given you haven't specified a value\."),
    re.compile(r"Using the redis datatype: hash"),
    re.compile(r"Connected to MongoDB!"),
    re.compile(r"\*{17} properties \*{17}"),
    re.compile(r'"[\w.]+"=".*"'),
)
_REMEDY = (
    "look at the raw files; a form that go-ycsb really prints belongs into benchctl/loaders/_ycsb_text.py"
)


class Text(NamedTuple):
    """What a run printed: a report after each second, and the last one."""

    progress: tuple[Report, ...]
    last: Report


def read_text(raw: Path) -> Text:
    """Read a run's stdout; stderr has to be empty. Raises ParseError with file and line."""
    path = raw / "stdout"
    require_silence(raw / "stderr", "go-ycsb", _REMEDY)
    lines = content(path).split("\n")
    if lines.pop():
        raise ParseError(f"{path}:{len(lines) + 1}: cut in the middle of a line", remedy=_REMEDY)
    first = _header(path, lines)
    progress, at = _reports(path, lines, first)
    if lines[at : at + 1] != [_STARS] or not _END.fullmatch("".join(lines[at + 1 : at + 2])):
        raise _unknown(path, at, lines)
    final, at = _reports(path, lines, at + 2)
    if at != len(lines):
        raise _unknown(path, at, lines)
    if len(final) != 1:
        raise ParseError(f"{path}: expected one last report, there are {len(final)}", remedy=_REMEDY)
    _check(path, final[0], progress)
    return Text(tuple(progress), final[0])


def _header(path: Path, lines: list[str]) -> int:
    """The number of the line after properties."""
    for number, line in enumerate(lines):
        if line == _STARS:
            return number + 1
        if not any(form.fullmatch(line) for form in _BEFORE):
            raise _unknown(path, number, lines)
    raise _unknown(path, len(lines), lines)


def _reports(path: Path, lines: list[str], at: int) -> tuple[list[Report], int]:
    """Reports from a line on, and where they end; inside of each, operations are in order."""
    found: list[Report] = []
    before = ""
    while at < len(lines) and (row := _ROW.fullmatch(lines[at])):
        name, *values = row.groups()
        if name.removesuffix(_ERROR) not in (*OPERATIONS, TOTAL):
            raise _unknown(path, at, lines)
        if not found or name <= before:
            found.append(Report({}, _ERROR))
        found[-1].rows[name] = dict(zip(_NAMES, map(float, values), strict=True))
        before, at = name, at + 1
    return found, at


def _check(path: Path, last: Report, progress: list[Report]) -> None:
    """The last report adds up, and nothing is less than it was before."""
    if not last.count(TOTAL):
        raise ParseError(
            f"{path}: no operation succeeded, {last.errors} failed", remedy="see the server's log"
        )
    parts = sum(last.count(name) for name in OPERATIONS if name != READ_MODIFY_WRITE)
    if parts != last.count(TOTAL):
        raise ParseError(f"{path}: operations are {parts}, and {last.count(TOTAL)} in all", remedy=_REMEDY)
    for earlier, later in pairwise((*progress, last)):
        if any(later.count(name) < earlier.count(name) for name in earlier.rows):
            raise ParseError(f"{path}: a report counts less than the one before it", remedy=_REMEDY)


def _unknown(path: Path, at: int, lines: list[str]) -> ParseError:
    found = repr(lines[at][:200]) if at < len(lines) else "the end"
    return ParseError(f"{path}:{at + 1}: unknown line: {found}", remedy=_REMEDY)
