"""The metrics in the output of any program, read as a form says.

What is not surely the number that the program printed is an error with file and line: a number that a
pattern takes only a part of, a second match, a last line without its end, a decimal comma.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from benchctl.errors import ParseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from benchctl.loaders._form import Form, Steps

Found = TypeVar("Found")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_MARKS = r".,'\u2019_\u00a0\u202f"  # that stand inside of numbers, here or in another locale
_CUT_BEFORE = re.compile(rf"(?:[0-9][{_MARKS}]?|(?:^|[\s=:(])[.-]|[0-9][eE][+-]?)\Z")
_CUT_AFTER = re.compile(rf"[0-9]|[{_MARKS}][0-9]|[eE][+-]?[0-9]")
_SEPARATORS = ",'\u2019_\u00a0\u202f"
_UNFINISHED = re.compile(r"""(?:[\[,]|":)\s*\Z""")
_WANTED = "expected a number with a decimal point, such as 1234.5"
_COMMA = "let the program print numbers in the C locale: LC_ALL=C.UTF-8"


def read(raw: Path, form: Form) -> dict[str, float]:
    """The metrics of a trial's raw folder. Raises ParseError with file and line."""
    path = raw / form.path
    try:
        text = path.read_text(encoding="utf-8-sig", errors="backslashreplace")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise ParseError(f"{path}: not there", remedy="the command has to write it") from error
    if not text.strip():
        raise ParseError(f"{path}: empty; expected {_expected(form)}", remedy="see what it says on stderr")
    readers: dict[str, Callable[[Path, str, Form], dict[str, float]]] = {
        "json": _json, "csv": _csv, "regex": _regex,
    }  # fmt: skip
    return readers[form.kind](path, text, form)


def _expected(form: Form) -> str:
    if form.kind == "regex":
        return f"a match of {form.patterns[0].regex.pattern!r}"
    return "one JSON document" if form.kind == "json" else "a table with a head"


def _json(path: Path, text: str, form: Form) -> dict[str, float]:
    line, document = _document(path, text)
    place = f"{path}:{line}"
    if form.values:
        found = {name: _at(place, name, document, form.values[name], to) for name, to in form.steps.items()}
    elif isinstance(document, dict) and document:
        found = document
    else:
        raise ParseError(f"{place}: expected an object of metric name to number: {str(document)[:200]!r}")
    return {name: _plain(place, name, value) for name, value in found.items()}


def _document(path: Path, text: str) -> tuple[int, Any]:
    """The whole file if it is one document, else the last line that is not empty; with its line's number."""
    try:
        return 1, _loaded(f"{path}:1", text)
    except ValueError:
        lines = text.rstrip().split("\n")
    before = "\n".join(lines[:-1])
    try:
        found = _loaded(f"{path}:{len(lines)}", lines[-1])
    except ValueError as error:
        raise ParseError(
            f"{path}:{len(lines)}: not JSON: {lines[-1][:200]!r}: {error}",
            remedy="expected one JSON document as the whole file or as the last line; was it cut?",
        ) from error
    if not isinstance(found, dict | list) or _UNFINISHED.search(before):
        raise ParseError(
            f"{path}:{len(lines)}: this is a part of a document that has no end: {lines[-1][:200]!r}",
            remedy="the output was cut; expected one JSON document as the whole file or as the last line",
        )
    return len(lines), found


def _loaded(place: str, text: str) -> Any:  # noqa: ANN401 - any JSON value
    def unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ParseError(f"{place}: the key {twice!r} is there twice in one object")
        return found

    try:
        return json.loads(text, object_pairs_hook=unique)
    except RecursionError as error:
        raise ParseError(f"{place}: nested too deeply to be a report") from error


def _at(place: str, name: str, document: Any, path: str, steps: Steps) -> Any:  # noqa: ANN401
    """What stands at a path of the document. Raises ParseError with what stands beside it."""
    found = document
    for step in steps:
        fits = isinstance(found, dict) if isinstance(step, str) else isinstance(found, list)
        try:
            found = found[step if fits else None]
        except (LookupError, TypeError) as error:
            missing = f"{place}: {name}: nothing at {path}: no {step!r} in {_outline(found)}"
            raise ParseError(missing) from error
    return found


def _outline(found: Any) -> str:  # noqa: ANN401
    if isinstance(found, dict):
        return f"an object with the keys {', '.join(list(found)[:20]) or '(none)'}"
    return f"a list of {len(found)}" if isinstance(found, list) else repr(found)[:80]


def _plain(place: str, name: str, value: Any) -> float:  # noqa: ANN401
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ParseError(f"{place}: {name}: {repr(value)[:80]} is no number", remedy=_WANTED)
    return _finite(place, name, float(value))


def _finite(place: str, name: str, value: float) -> float:
    if not math.isfinite(value):
        raise ParseError(f"{place}: {name} is {value}, which is no measurement")
    return value


def _word(place: str, name: str, word: str) -> float:
    if not _NUMBER.fullmatch(word):
        remedy = _COMMA if re.search(r"[0-9][,'\u2019\u00a0\u202f][0-9]", word) else ""
        raise ParseError(f"{place}: {name}: {word[:80]!r} is no number; {_WANTED}", remedy=remedy)
    return _finite(place, name, float(word))


def _csv(path: Path, text: str, form: Form) -> dict[str, float]:
    head, rows = _table(path, text, form.delimiter)
    wanted = form.values or {name: name for name in head if form.row is None or name != form.row[0]}
    for column in [*wanted.values(), *([form.row[0]] if form.row else [])]:
        if column not in head:
            raise ParseError(f"{path}:1: there is no column {column!r}; there are {', '.join(head)}")
    if form.row is not None:
        at, wish = head.index(form.row[0]), form.row[1]
        rows = (one for one in rows if one[1][at].strip() == wish)
    kept = deque(rows, 1) if form.last else islice(rows, 2)
    line, row = _only(path, list(kept), form, "row")
    return {
        name: _word(f"{path}:{line}", name, row[head.index(column)].strip())
        for name, column in wanted.items()
    }


def _table(path: Path, text: str, delimiter: str) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The head, and each row with the number of its last line. Raises ParseError, at a row when read."""
    if not text.endswith("\n"):
        raise ParseError(f"{path}:{text.count(chr(10)) + 1}: the last line has no end: the table was cut")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = _rows(path, reader)
    head = [word.strip() for word in next(rows)[1]]
    if len(set(head)) < len(head):
        raise ParseError(f"{path}:1: a column is there twice: {', '.join(head)}")
    return head, _of_width(path, rows, len(head))


def _rows(path: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:  # noqa: ANN401 - csv has no name for its type
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise ParseError(f"{path}:{reader.line_num}: {error}") from error


def _of_width(
    path: Path, rows: Iterator[tuple[int, list[str]]], width: int
) -> Iterator[tuple[int, list[str]]]:
    for line, row in rows:
        if len(row) != width:
            found = f"{path}:{line}: {len(row)} fields under a head of {width}"
            raise ParseError(found, remedy=f"{_COMMA}; or give the delimiter")
        yield line, row


def _regex(path: Path, text: str, form: Form) -> dict[str, float]:
    found: dict[str, float] = {}
    for pattern in form.patterns:
        matches = (
            deque(pattern.regex.finditer(text), 1) if form.last else islice(pattern.regex.finditer(text), 2)
        )
        lines = [(_line(text, match.start()), match) for match in matches]
        line, match = _only(path, lines, form, f"match of {pattern.regex.pattern!r}")
        for name, group in pattern.groups.items():
            place = f"{path}:{line}"
            if match[group] is None:
                raise ParseError(f"{place}: {name}: its group has no part in the match {match[0][:80]!r}")
            _require_whole(path, name, text, match, group)
            found[name] = _word(place, name, match[group].strip())
    return found


def _only(path: Path, found: Sequence[tuple[int, Found]], form: Form, what: str) -> tuple[int, Found]:
    """The one of them, or the last where that is wanted. Raises ParseError."""
    if not found:
        wanted = "one or more" if form.last else "one"
        raise ParseError(
            f"{path}: there is no {what}", remedy=f"expected {wanted}; see what the program printed"
        )
    if len(found) > 1 and not form.last:
        raise ParseError(
            f"{path}:{found[1][0]}: a second {what}; the first is in line {found[0][0]}",
            remedy="say more exactly what is meant, or parse.take: last where the last one counts",
        )
    return found[-1]


def _require_whole(path: Path, name: str, text: str, match: re.Match[str], group: int) -> None:
    """Raise ParseError when the pattern takes a part of a number, or nothing shows that the number ended."""
    start, end = match.span(group)
    place = f"{path}:{_line(text, start)}: {name}"
    if end == len(text):
        remedy = "let the program end its last line"
        raise ParseError(
            f"{place}: the output ends within {match[group][:80]!r}: it may be cut", remedy=remedy
        )
    others = [match.span(other) for other in range(1, len(match.regs)) if other != group]
    before = text[start - 1 : start] in _SEPARATORS and any(stop == start - 1 for _, stop in others)
    after = text[end] in _SEPARATORS and any(begin == end + 1 for begin, _ in others)
    if (_CUT_BEFORE.search(text[max(0, start - 3) : start]) and not before) or (
        _CUT_AFTER.match(text, end) and not after
    ):
        shown = text[text.rfind("\n", 0, start) + 1 :].partition("\n")[0].strip()[:200]
        remedy = f"{_COMMA}; or write a pattern that takes all of the number, and a group for each other one"
        raise ParseError(f"{place}: {match[group]!r} is a part of a number in {shown!r}", remedy=remedy)


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1
