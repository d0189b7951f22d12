"""go-ycsb 1.0: YCSB's workloads A to F, a given number of operations, the last report that it prints.

Closed loop, so latency is service time; with a rate too, for its threads wait between operations and latency
begins when one is sent. What it reports begins after the warm-up and ends with the last operation. It keeps a
histogram of three digits and prints percentiles only, so several hosts have none in common.
Source: go-ycsb's pkg/measurement/histogram.go, pkg/client/client.go; the workloads are YCSB's own files.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from benchctl.errors import ParseError, SpecError
from benchctl.loaders._shared import no_latencies, no_null_run, no_samples
from benchctl.loaders._ycsb_reach import MYSQL, reach
from benchctl.loaders._ycsb_text import OPERATIONS, READ_MODIFY_WRITE, TOTAL, read_text
from benchctl.loaders.loader import Command
from benchctl.model.measurement import LoaderResult, Quantity
from benchctl.statistics.percentiles import carries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchctl.loaders._operations import Report
    from benchctl.loaders.loader import Descriptor, Target
    from benchctl.model.experiment import Value, Workload
    from benchctl.model.measurement import TaskResult, Window

ENDS_ITSELF = True
DEFAULTS: dict[str, int | str] = {
    "workload": "a",
    "operations": 100_000,
    "clients": 8,
    "records": 100_000,
    "fields": 10,
    "field_length": 100,
}
_LOADING_THREADS = 8
_SCAN = {"maxscanlength": "100", "scanlengthdistribution": "uniform"}
WORKLOADS: dict[str, dict[str, str]] = {
    "a": {"readproportion": "0.5", "updateproportion": "0.5", "requestdistribution": "zipfian"},
    "b": {"readproportion": "0.95", "updateproportion": "0.05", "requestdistribution": "zipfian"},
    "c": {"readproportion": "1", "requestdistribution": "zipfian"},
    "d": {"readproportion": "0.95", "insertproportion": "0.05", "requestdistribution": "latest"},
    "e": {"scanproportion": "0.95", "insertproportion": "0.05", "requestdistribution": "zipfian", **_SCAN},
    "f": {"readproportion": "0.5", "readmodifywriteproportion": "0.5", "requestdistribution": "zipfian"},
}
_UNSCANNED = {"redis": "a Redis", "cassandra": "a Cassandra"}
_KINDS = ("read", "update", "insert", "scan", "readmodifywrite")
# A metric's statistic and its column; percentiles with the share that says how many requests they need.
_EXTREMES = {"mean": "Avg", "min": "Min", "max": "Max"}
_PERCENTILES = {
    "p50": "50th",
    "p90": "90th",
    "p95": "95th",
    "p99": "99th",
    "p999": "99.9th",
    "p9999": "99.99th",
}
_SHARES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999, "p9999": 0.9999}
_REMEDY = (
    "look at the raw files; a form that go-ycsb really prints belongs into benchctl/loaders/_ycsb_text.py"
)
null_run = no_null_run
samples = no_samples
latencies = no_latencies


class _Options(NamedTuple):
    """The options of the workload with their defaults."""

    workload: str
    operations: int
    clients: int
    records: int
    fields: int
    field_length: int
    rate: int  # 0: as fast as they go
    distribution: str  # empty: the workload's own


def names(workload: Workload) -> frozenset[str]:
    """Metrics of all operations, and of each kind that the workload has."""
    found = _options(workload.options)
    kinds = {"read_modify_write" if kind == _KINDS[-1] else kind for kind in _mix(found.workload)}
    if "read_modify_write" in kinds:
        kinds |= {"read", "update"}  # its halves
    parts = {f"{kind}_{name}" for kind in kinds for name in ("throughput", "latency_mean", "latency_p99")}
    whole = {f"latency_{name}" for name in (*_EXTREMES, *_PERCENTILES)}
    return frozenset({"throughput", "errors", *whole, *parts})


def prepare(
    options: Mapping[str, Value],
    descriptor: Descriptor,
    target: Target | None,
    seed: int,  # noqa: ARG001 - go-ycsb takes none: its values differ each time, their sizes do not
) -> Command:
    """`go-ycsb load`: as many records as wanted, and one more.

    Its Zipf distribution asks for the record after the last one too. Clients of etcd and of MongoDB call that
    an error when there is none; others would answer with nothing, in silence.
    """
    found = _options(options)
    found = found._replace(records=found.records + 1)
    return _command("load", found, {"threadcount": str(_LOADING_THREADS)}, descriptor, target)


def command(
    workload: Workload,
    descriptor: Descriptor,
    target: Target | None,
    seed: int,  # noqa: ARG001 - go-ycsb takes none
) -> Command:
    """One run of one workload. Raises SpecError for scans of what it cannot scan."""
    found = _options(workload.options)
    unscanned = _UNSCANNED.get(str((target or {}).get("protocol")))
    if found.workload == "e" and unscanned:
        raise SpecError(f"workload.workload: go-ycsb cannot scan {unscanned}", remedy="one of a, b, c, d, f")
    if workload.warmup != round(workload.warmup):
        raise SpecError(f"workload.warmup: {workload.warmup:g} s", remedy="go-ycsb takes whole seconds")
    mix = dict.fromkeys((f"{kind}proportion" for kind in _KINDS), "0") | WORKLOADS[found.workload]
    properties = mix | {"threadcount": str(found.clients), "operationcount": str(found.operations)}
    properties |= {"measurement.interval": "1"}
    if found.distribution:
        properties["requestdistribution"] = found.distribution
    if workload.warmup:
        properties["warmuptime"] = str(round(workload.warmup))
    if found.rate:
        properties["target"] = str(found.rate)
    return _command("run", found, properties, descriptor, target)


def parse(
    raw: Path,
    window: Window,  # noqa: ARG001 - the program measures by itself, nothing can be cut
    workload: Workload,
    task: TaskResult | None = None,  # noqa: ARG001 - nor is the process needed for it
) -> LoaderResult:
    """The last report; percentiles that the number of requests does not carry are left out."""
    found = _options(workload.options)
    text = read_text(raw)
    last = text.last
    _require_all(raw / "stdout", last, found)
    metrics = {"throughput": Quantity(value=last.rows[TOTAL]["OPS"], unit="1/s")}
    metrics["errors"] = Quantity(value=float(last.errors), unit="1")
    metrics |= _latencies(last, TOTAL, "latency", {**_EXTREMES, **_PERCENTILES})
    for kind in (name for name in OPERATIONS if name in last.rows):
        word = kind.lower()
        metrics[f"{word}_throughput"] = Quantity(value=last.rows[kind]["OPS"], unit="1/s")
        metrics |= _latencies(last, kind, f"{word}_latency", {"mean": "Avg", "p99": "99th"})
    return LoaderResult(
        loader="go_ycsb",
        version="",  # its output does not tell; the descriptor does
        open_loop=False,
        metrics=metrics,
        errors=last.errors,
        requests=last.count(TOTAL) + last.errors,
        series={"throughput": _series(text.progress)},
        percentile_source="loader",
        threads=found.clients,
    )


def _options(given: Mapping[str, Value]) -> _Options:
    """Raises SpecError for a workload that there is not."""
    found = {**DEFAULTS, **{name: value for name, value in given.items() if name in DEFAULTS}}
    workload = str(found.pop("workload"))
    if workload not in WORKLOADS:
        raise SpecError(
            f"workload.workload: there is no workload {workload!r}", remedy=f"one of {', '.join(WORKLOADS)}"
        )
    numbers = {name: int(str(value)) for name, value in found.items()}
    if numbers["operations"] < numbers["clients"]:
        raise SpecError("workload.operations: fewer than clients", remedy="give each client one at least")
    rate = int(str(given.get("rate", 0)))
    return _Options(workload, **numbers, rate=rate, distribution=str(given.get("distribution", "")))


def _mix(workload: str) -> set[str]:
    return {name.removesuffix("proportion") for name in WORKLOADS[workload] if name.endswith("proportion")}


def _command(
    verb: str, found: _Options, more: dict[str, str], descriptor: Descriptor, target: Target | None
) -> Command:
    database, reached = reach(target)
    before = tuple(descriptor["with_password"]) if database == MYSQL else ()
    properties = {
        "workload": "core",
        "recordcount": str(found.records),
        "fieldcount": str(found.fields),
        "fieldlength": str(found.field_length),
        "debug.pprof": "127.0.0.1:0",  # else it listens to everyone on port 6060
        **more,
        **reached,
    }
    words = [word for name, value in properties.items() for word in ("-p", f"{name}={value}")]
    argv = (*before, str(descriptor["binaries"]["go-ycsb"]), verb, database, *words)
    return Command(argv, {**descriptor.get("env", {}), "LC_ALL": "C.UTF-8"})


def _require_all(path: Path, last: Report, found: _Options) -> None:
    """All operations are in the report, but for those that began in the warm-up, one for each client."""
    done = last.count(TOTAL) - last.count(READ_MODIFY_WRITE) + last.errors
    if abs(done - found.operations) > found.clients + last.errors:
        raise ParseError(f"{path}: {done} operations of {found.operations} are reported", remedy=_REMEDY)


def _series(progress: Sequence[Report]) -> tuple[float | None, ...]:
    """Operations in each full second; the reports count from the beginning."""
    counts = [0, *(report.count(TOTAL) for report in progress)]
    return tuple(float(after - before) for before, after in pairwise(counts))


def _latencies(last: Report, row: str, prefix: str, wanted: dict[str, str]) -> dict[str, Quantity]:
    """Microseconds of a row in ms; None where a percentile needs more requests than there were."""
    found = {}
    for name, column in wanted.items():
        carried = name not in _SHARES or carries(last.count(row), _SHARES[name])
        found[f"{prefix}_{name}"] = Quantity(
            value=last.rows[row][column] / 1000 if carried else None, unit="ms"
        )
    return found
