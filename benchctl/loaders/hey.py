"""hey 0.1: requests for one URL over HTTP, one line for each response, cut to the measured window.

Closed loop, so latency is service time; with a rate too, for its workers wait for the next tick before they
send. hey's own table has four decimals of a second and its CSV leaves out what failed, so it gets a template
of ours: the same report with all digits, errors and when each request began, from the start of the process
on. It keeps a million responses, and more are an error here. It does not check certificates.
Source: hey's requester/report.go, requester/print.go.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchctl.errors import ParseError, SpecError
from benchctl.loaders._shared import content, no_null_run, no_prepare, require_silence
from benchctl.loaders.loader import Command
from benchctl.model.measurement import LoaderResult, Quantity
from benchctl.statistics.percentiles import carries

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

    from benchctl.loaders.loader import Descriptor, Ints, Target
    from benchctl.model.experiment import Workload
    from benchctl.model.measurement import TaskResult, Window

    Floats = NDArray[np.float64]

ENDS_ITSELF = False
DEFAULTS: dict[str, int | str] = {"clients": 50, "method": "GET", "timeout": 20}
PERCENTILES = {"latency_p50": 0.5, "latency_p95": 0.95, "latency_p99": 0.99, "latency_p999": 0.999}
_TEMPLATE = (
    '{"warmup":%s,"results":{{.NumRes}},"errors":{{jsonify .ErrorDist}}}{{range $i, $v := .Lats}}\n'
    "{{index $.Offsets $i}} {{$v}} {{index $.StatusCodes $i}}{{end}}"
)
_HEAD = ("warmup", "results", "errors")
_NUMBER = r"\d+(?:\.\d+)?(?:e-\d+)?"
_LINE = re.compile(rf"{_NUMBER} {_NUMBER} [1-5]\d\d")
_FAILED = 400  # HTTP's first status of an error
_REMEDY = "look at the raw files; a form that hey really prints belongs into benchctl/loaders/hey.py"
prepare = no_prepare
null_run = no_null_run


class _Responses(NamedTuple):
    """Those of the window: seconds from its start to completion, seconds of latency, HTTP's status."""

    completed: Floats
    latency: Floats
    status: Floats
    broken: int  # requests without a response, over the whole run: hey does not say when

    @property
    def good(self) -> NDArray[np.bool_]:
        return self.status < _FAILED


def names(workload: Workload) -> frozenset[str]:  # noqa: ARG001 - the boundary's signature; always the same
    return frozenset({"throughput", "latency_mean", "latency_max", "errors", *PERCENTILES})


def command(
    workload: Workload,
    descriptor: Descriptor,
    target: Target | None,
    seed: int,  # noqa: ARG001 - every request is the same
) -> Command:
    """One run over warm-up and window. Raises SpecError without a URL."""
    options = {**DEFAULTS, **workload.options}
    clients = int(str(options["clients"]))
    seconds = workload.warmup + workload.duration
    argv = [str(descriptor["binaries"]["hey"]), "-z", f"{seconds:g}s", "-c", str(clients)]
    argv += ["-m", str(options["method"]), "-t", str(options["timeout"]), "-o", _TEMPLATE % workload.warmup]
    if "rate" in options:
        argv += ["-q", f"{float(str(options['rate'])) / clients:.9g}"]
    if "body" in options:
        argv += ["-d", str(options["body"])]
    if "content_type" in options:
        argv += ["-T", str(options["content_type"])]
    return Command((*argv, _url(str(options.get("url", "")), target)), {**descriptor.get("env", {})})


def parse(
    raw: Path,
    window: Window,
    workload: Workload,
    task: TaskResult | None = None,  # noqa: ARG001 - the template says what is needed of the process
) -> LoaderResult:
    """Responses completed inside the window; an HTTP status from 400 on is an error, without a latency."""
    found = _read(raw, window)
    latency = found.latency[found.good] * 1000
    if not latency.size:
        raise ParseError(f"{raw / 'stdout'}: no response inside the window", remedy="give it more time")
    errors = found.broken + int(np.count_nonzero(~found.good))
    metrics = {
        "throughput": Quantity(value=latency.size / window.seconds, unit="1/s"),
        "latency_mean": Quantity(value=float(latency.mean()), unit="ms"),
        "latency_max": Quantity(value=float(latency.max()), unit="ms"),
        "errors": Quantity(value=float(errors), unit="1"),
    }
    for name, quantile in PERCENTILES.items():
        value = float(np.quantile(latency, quantile)) if carries(latency.size, quantile) else None
        metrics[name] = Quantity(value=value, unit="ms")
    return LoaderResult(
        loader="hey",
        version="",  # its output does not tell; the descriptor does
        open_loop=False,
        metrics=metrics,
        errors=errors,
        requests=latency.size + errors,
        series={"throughput": _series(found.completed[found.good], window)},
        percentile_source="log",
        threads=int(str(workload.options.get("clients", DEFAULTS["clients"]))),
    )


def samples(raw: Path, window: Window) -> pa.Table:
    """Every response without an error inside the window, in the order of completion."""
    import pyarrow as pa

    found = _read(raw, window)
    completed, latency = found.completed[found.good], found.latency[found.good]
    order = np.argsort(completed, kind="stable")
    return pa.table({"completed": completed[order], "latency_ms": latency[order] * 1000})


def latencies(raw: Path, window: Window) -> dict[str, Ints]:
    """Latencies of the responses without an error inside the window."""
    found = _read(raw, window)
    return {"latency": np.rint(found.latency[found.good] * 1e6).astype(np.int64)}


def _url(url: str, target: Target | None) -> str:
    """A whole URL as it is; a path alone is one of the system under test. Raises SpecError."""
    if url.startswith(("http://", "https://")):
        return url
    if url.startswith("/") and target is not None and "host" in target:
        host = str(target["host"])
        return f"http://{f'[{host}]' if ':' in host else host}:{target['port']}{url}"
    raise SpecError(
        f"workload.url: {url!r} is neither a URL of http or https nor a path of a system with host and port",
        remedy="url: http://10.0.0.1:8080/api",
    )


def _read(raw: Path, window: Window) -> _Responses:
    """The responses completed inside the window. Raises ParseError."""
    path = raw / "stdout"
    require_silence(raw / "stderr", "hey", _REMEDY)
    first, end, rest = content(path).partition("\n")
    head = _head(path, first)
    if not end or (rest and not rest.endswith("\n")):
        raise ParseError(f"{path}:{rest.count(chr(10)) + 2}: cut in the middle", remedy=_REMEDY)
    values = _values(path) if rest else np.empty((0, 3))
    broken = sum(head["errors"].values())
    if len(values) + broken != head["results"]:
        raise ParseError(
            f"{path}:1: {head['results']} requests, but {len(values)} responses and {broken} errors",
            remedy="hey keeps a million responses: a shorter duration, or a rate",
        )
    if not len(values) and broken:
        reason, count = max(head["errors"].items(), key=lambda item: item[1])
        raise ParseError(
            f"{path}:1: no request had a response: {count} times {reason}", remedy="see the server"
        )
    completed = values[:, 0] + values[:, 1] - head["warmup"]
    inside = (completed >= 0) & (completed <= window.seconds)
    return _Responses(completed[inside], values[inside, 1], values[inside, 2], broken)


def _head(path: Path, line: str) -> dict[str, Any]:
    """Warm-up, requests and errors by their text."""
    try:
        found = json.loads(line)
    except ValueError as error:
        raise ParseError(f"{path}:1: not JSON: {line[:200]!r}: {error}", remedy=_REMEDY) from error
    good = isinstance(found, dict) and tuple(found) == _HEAD and isinstance(found["errors"], dict)
    if not good or not all(isinstance(value, int) for value in (found["results"], *found["errors"].values())):
        raise ParseError(f"{path}:1: unknown line: {line[:200]!r}", remedy=_REMEDY)
    return dict(found)


def _values(path: Path) -> Floats:
    """One row for each response: when it began, how long it took, its status."""
    from benchctl.loaders._columns import FLOAT, read, unknown

    table = read(path, dict.fromkeys(("began", "took", "status"), FLOAT), _LINE, _REMEDY, skip=1)
    values = np.column_stack([column.to_numpy() for column in table.columns])
    status = values[:, 2]
    if not (np.isfinite(values) & (values >= 0)).all() or ((status < 100) | (status >= 600)).any():
        raise unknown(path, _LINE, _REMEDY, skip=1)
    return values


def _series(completed: Floats, window: Window) -> tuple[float | None, ...]:
    full = int(window.seconds)
    counts = np.bincount(completed.astype(np.int64), minlength=full)[:full]
    return tuple(float(count) for count in counts)
