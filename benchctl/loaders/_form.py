"""How any program's output is read, as the experiment says it: the options `parse`, `values` and `units`.

Owns their checks; `_output` reads by what comes out of them. Must not look at any output.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal, NamedTuple

from benchctl.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from benchctl.model.experiment import Value, Workload
    from benchctl.model.record import Scalar

Kind = Literal["json", "csv", "regex"]
Steps = tuple[str | int, ...]
_KINDS: tuple[Kind, ...] = ("json", "csv", "regex")
_KEYS = {"json": {"path"}, "csv": {"path", "take", "delimiter", "row"}, "regex": {"path", "take"}}
_STEP = re.compile(
    r"""\.(?P<name>[\w-]+)|\[(?P<index>-?[0-9]+)\]|\['(?P<one>[^']*)'\]|\["(?P<two>[^"]*)"\]"""
)
REMEDY = (
    "parse: {json: true}, {csv: true} or {regex: PATTERN}, each with path: FILE for another file than stdout"
)


class Pattern(NamedTuple):
    regex: re.Pattern[str]
    groups: dict[str, int]  # metric -> number of its group


class Form(NamedTuple):
    """The three options, checked."""

    kind: Kind
    path: str  # of the file, from the working folder
    values: dict[str, str]  # metric -> JSON path, column or pattern, as the experiment writes it
    steps: dict[str, Steps]  # metric -> its JSON path in steps
    patterns: tuple[Pattern, ...]
    last: bool  # of several matches or rows the last counts; else there must be one
    delimiter: str
    row: tuple[str, str] | None  # column and text of the row that counts

    @property
    def names(self) -> frozenset[str] | None:
        """The metrics; None where only the output tells."""
        groups = {name for pattern in self.patterns for name in pattern.groups}
        return frozenset(groups or self.values) or None


def form(workload: Workload) -> Form | None:
    """The checked form; None when nothing is read. Raises SpecError."""
    options = mapping(workload, "parse")
    values = {name: str(value) for name, value in mapping(workload, "values").items()}
    if not options:
        if values:
            raise SpecError("workload.values: found without parse", remedy=REMEDY)
        return None
    kind = _kind(options)
    return Form(
        kind=kind,
        path=_path(str(options.get("path", "stdout"))),
        values=values,
        steps={name: _steps(name, path) for name, path in values.items()} if kind == "json" else {},
        patterns=_patterns(options["regex"], values) if kind == "regex" else (),
        last=_last(options),
        delimiter=_delimiter(options),
        row=_row(options),
    )


def mapping(workload: Workload, name: str) -> dict[str, Scalar]:
    """An option that is a mapping; empty without it. Raises SpecError."""
    value: Value | Mapping[str, Scalar] = workload.options.get(name, {})
    if not isinstance(value, dict):
        raise SpecError(f"workload.{name}: {value!r} is no mapping", remedy=REMEDY)
    return dict(value)


def _kind(options: Mapping[str, Scalar]) -> Kind:
    if options.get("role") == "json" and not set(options) - {"role", "path"}:
        return "json"
    given = [kind for kind in _KINDS if kind in options]
    if len(given) != 1 or set(options) - _KEYS[given[0]] - {given[0]}:
        raise SpecError(f"workload.parse: unknown form {dict(options)}", remedy=REMEDY)
    if given[0] != "regex" and options[given[0]] is not True:
        raise SpecError(f"workload.parse.{given[0]}: found {options[given[0]]!r}, not true", remedy=REMEDY)
    return given[0]


def _path(path: str) -> str:
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        remedy = "let the program write into the folder that it starts in, and name the file from there"
        raise SpecError(f"workload.parse.path: {path!r} leaves the working folder", remedy=remedy)
    return path


def _last(options: Mapping[str, Scalar]) -> bool:
    if options.get("take", "last") != "last":
        remedy = "take: last, or no `take` where there must be only one"
        raise SpecError(f"workload.parse.take: found {options['take']!r}", remedy=remedy)
    return "take" in options


def _delimiter(options: Mapping[str, Scalar]) -> str:
    found = options.get("delimiter", ",")
    if not isinstance(found, str) or len(found) != 1 or found in '"\r\n':
        remedy = 'one character, such as ";" or "\\t"'
        raise SpecError(f"workload.parse.delimiter: found {found!r}", remedy=remedy)
    return found


def _row(options: Mapping[str, Scalar]) -> tuple[str, str] | None:
    if "row" not in options:
        return None
    column, equals, text = str(options["row"]).partition("=")
    if not column or not equals:
        raise SpecError(f"workload.parse.row: found {options['row']!r}", remedy="row: COLUMN=TEXT")
    return column, text


def _steps(name: str, path: str) -> Steps:
    """Split a JSON path to one value (RFC 9535's singular query). Raises SpecError."""
    steps: list[str | int] = []
    at = 1 if path.startswith("$") else len(path) + 1
    while at < len(path) and (step := _STEP.match(path, at)):
        key = step["name"] or step["one"] or step["two"] or ""
        steps.append(key if step["index"] is None else int(step["index"]))
        at = step.end()
    if at != len(path) or not steps:
        found = f"workload.values.{name}: {path!r} is no path to one value of a JSON document"
        raise SpecError(found, remedy="such as $.jobs[0].latency['p99.9']")
    return tuple(steps)


def _patterns(regex: Scalar, values: Mapping[str, str]) -> tuple[Pattern, ...]:
    if regex is True and values:
        return tuple(Pattern(_one_group(name, text), {name: 1}) for name, text in values.items())
    if not isinstance(regex, str) or values:
        found = f"found {regex!r} {'beside' if values else 'without'} values"
        remedy = "a pattern with named groups; or true, and values: a pattern with one group for each metric"
        raise SpecError(f"workload.parse.regex: {found}", remedy=remedy)
    pattern = _compiled("parse.regex", regex)
    if not pattern.groupindex:
        found = f"workload.parse.regex: {regex!r} has no named group"
        raise SpecError(found, remedy='such as "(?P<throughput>[0-9.]+) ops/s"')
    return (Pattern(pattern, dict(pattern.groupindex)),)


def _one_group(name: str, text: str) -> re.Pattern[str]:
    pattern = _compiled(f"values.{name}", text)
    if pattern.groups != 1:
        found = f"workload.values.{name}: {text!r} has {pattern.groups} groups, not one"
        raise SpecError(found, remedy='put the number, and it alone, in parentheses: "ops: ([0-9.]+)"')
    return pattern


def _compiled(place: str, regex: str) -> re.Pattern[str]:
    try:
        return re.compile(regex, re.MULTILINE)
    except re.error as error:
        raise SpecError(f"workload.{place}: {regex!r}: {error}", remedy="a pattern of Python's re") from error


def check_units(names: Iterable[str], units: Mapping[str, Scalar]) -> None:
    """Raise SpecError unless every metric that is known beforehand has its unit, and no other has one."""
    for name in sorted({*names} - {*units} - {"seconds"}):
        remedy = f'units: {{{name}: 1/s}}, in the unit that the program prints; "1" for a plain number'
        raise SpecError(f"workload.units: found no unit of {name}", remedy=remedy)
    for name in sorted({*units} - {*names} - {"seconds"}):
        known = ", ".join(sorted(names))
        raise SpecError(f"workload.units.{name}: found a unit of what is not read", remedy=f"read: {known}")
