"""Any command as a load generator: what it prints is what was measured.

Options of the workload:
- `run`: the command, as words or as one string that is split like a shell splits words; never a shell.
- `parse`: how its output is read. `{json: true}`: the last line that is not empty is one JSON object of
  metric name -> number. `{regex: "(?P<throughput>[0-9.]+) ops"}`: the last match, with a named group for
  each metric; `^` and `$` match at lines. `path`: the file below its working folder to read, not stdout.
  `{role: json}` is the same as `{json: true}`.
- `units`: metric name -> unit; a metric without one has the unit "".
A metric `seconds`, the life of the process, is always there, unless the command reports one of that name.
A metric `requests` weights the means of several hosts; without it they have no mean together.
The command learns of the trial from its environment: BENCHCTL_SEED, BENCHCTL_WARMUP, BENCHCTL_DURATION
(seconds) and, with a DBMS, BENCHCTL_SOCKET or BENCHCTL_HOST, BENCHCTL_PORT, BENCHCTL_USER, BENCHCTL_DATABASE.
"""

from __future__ import annotations

import json
import math
import re
import shlex
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from benchctl.errors import ParseError, SpecError
from benchctl.loaders.loader import Command
from benchctl.model.measurement import LoaderResult, Quantity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchctl.loaders.loader import Descriptor, Ints, Target
    from benchctl.model.experiment import Value, Workload
    from benchctl.model.measurement import TaskResult, Window
    from benchctl.model.record import Scalar

ENDS_ITSELF = True
_REMEDY = 'parse: {json: true} or parse: {regex: "(?P<throughput>[0-9.]+) ops/s"}, either with path: FILE'


class _Form(NamedTuple):
    """The option `parse`, checked."""

    regex: re.Pattern[str] | None  # None: JSON
    path: str


def names(workload: Workload) -> frozenset[str] | None:
    """The groups of the regular expression and `seconds`; what a JSON object will hold is not known."""
    form = _form(workload)
    if form is not None and form.regex is None:
        return None
    return frozenset({"seconds", *(form.regex.groupindex if form is not None and form.regex else ())})


def prepare(
    options: Mapping[str, Value],  # noqa: ARG001 - the boundary's signature; a command prepares nothing
    descriptor: Descriptor,  # noqa: ARG001
    target: Target | None,  # noqa: ARG001
    seed: int,  # noqa: ARG001
) -> None:
    return None


def command(workload: Workload, descriptor: Descriptor, target: Target | None, seed: int) -> Command:
    """The words of `run`. Raises SpecError when there are none, or `parse` has no known form."""
    _form(workload)
    run = workload.options.get("run", "")
    try:
        words = tuple(shlex.split(run)) if isinstance(run, str) else tuple(map(str, run))  # type: ignore[arg-type]
    except ValueError as error:
        raise SpecError(f"workload.run: {run!r}: {error}", remedy="close the quotes") from error
    if not words:
        raise SpecError("workload.run: no command", remedy="run: my-load --seconds 10")
    env = {
        **descriptor.get("env", {}),
        "BENCHCTL_SEED": str(seed),
        "BENCHCTL_WARMUP": f"{workload.warmup:g}",
        "BENCHCTL_DURATION": f"{workload.duration:g}",
    }
    reach = {f"BENCHCTL_{name.upper()}": str(value) for name, value in (target or {}).items()}
    return Command(words, env | reach)


def null_run(
    workload: Workload,  # noqa: ARG001 - the boundary's signature; what the command asks for is not known
    descriptor: Descriptor,  # noqa: ARG001
    target: Target,  # noqa: ARG001
    runtime: str,  # noqa: ARG001
) -> None:
    return None


def parse(
    raw: Path,
    window: Window,  # noqa: ARG001 - the command measures by itself, nothing can be cut
    workload: Workload,
    task: TaskResult | None = None,
) -> LoaderResult:
    """The metrics that the command reported, as it reported them."""
    found = {} if task is None else {"seconds": task.end - task.start}
    form = _form(workload)
    if form is not None:
        found |= _read(raw / form.path, form.regex)
    units = {"seconds": "s"} | _mapping(workload, "units")
    return LoaderResult(
        loader="command",
        version="",
        open_loop=False,
        metrics={name: Quantity(value=value, unit=str(units.get(name, ""))) for name, value in found.items()},
        errors=0,
        requests=round(found.get("requests", 0)),
        percentile_source="loader",
    )


def samples(
    raw: Path,  # noqa: ARG001 - the boundary's signature; a command keeps no samples
    window: Window,  # noqa: ARG001
) -> None:
    return None


def latencies(
    raw: Path,  # noqa: ARG001 - the boundary's signature; a command keeps no latencies
    window: Window,  # noqa: ARG001
) -> dict[str, Ints]:
    return {}


def _form(workload: Workload) -> _Form | None:
    """The checked option `parse`; None when nothing is read. Raises SpecError."""
    options = _mapping(workload, "parse")
    if not options:
        return None
    path = str(options.pop("path", "stdout"))
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise SpecError(f"workload.parse.path: {path!r} leaves the working folder", remedy=_REMEDY)
    match options:
        case {"json": True, **rest} | {"role": "json", **rest} if not rest:
            return _Form(None, path)
        case {"regex": str(regex), **rest} if not rest:
            return _Form(_compiled(regex), path)
    raise SpecError(f"workload.parse: unknown form {options}", remedy=_REMEDY)


def _compiled(regex: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(regex, re.MULTILINE)
    except re.error as error:
        raise SpecError(f"workload.parse.regex: {regex!r}: {error}", remedy=_REMEDY) from error
    if not pattern.groupindex:
        raise SpecError(f"workload.parse.regex: {regex!r} has no named group", remedy=_REMEDY)
    return pattern


def _mapping(workload: Workload, name: str) -> dict[str, Scalar]:
    value = workload.options.get(name, {})
    if not isinstance(value, dict):
        raise SpecError(f"workload.{name}: {value!r} is no mapping", remedy=_REMEDY)
    return dict(value)


def _read(path: Path, regex: re.Pattern[str] | None) -> dict[str, float]:
    """Read the metrics from a raw file. Raises ParseError."""
    try:
        text = path.read_text(encoding="utf-8", errors="backslashreplace")
    except FileNotFoundError as error:
        raise ParseError(f"{path}: not there", remedy="the command has to write it") from error
    found = _from_json(path, text) if regex is None else _from_match(path, text, regex)
    for name, value in found.items():
        if not math.isfinite(value):
            raise ParseError(f"{path}: {name} is {value}, which is no measurement")
    return found


def _from_json(path: Path, text: str) -> dict[str, float]:
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not lines:
        raise ParseError(f"{path}: empty; expected one JSON object as the last line")
    number, line = lines[-1]
    try:
        found: Any = json.loads(line)
    except ValueError as error:
        raise ParseError(f"{path}:{number}: not JSON: {line[:200]!r}: {error}") from error
    if not isinstance(found, dict) or not found:
        raise ParseError(f"{path}:{number}: expected an object of metric name to number: {line[:200]!r}")
    for name, value in found.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ParseError(f"{path}:{number}: {name}: {value!r} is no number")
    return {name: float(value) for name, value in found.items()}


def _from_match(path: Path, text: str, regex: re.Pattern[str]) -> dict[str, float]:
    matches = list(regex.finditer(text))
    if not matches:
        raise ParseError(f"{path}: nothing matches {regex.pattern!r}")
    number = text.count("\n", 0, matches[-1].start()) + 1
    found = {}
    for name, word in matches[-1].groupdict().items():
        try:
            found[name] = float(word)
        except (TypeError, ValueError) as error:
            raise ParseError(f"{path}:{number}: {name}: {word!r} is no number") from error
    return found
