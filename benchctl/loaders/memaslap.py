"""memaslap of libmemcached 1.1: gets and sets, nine to one, for whole seconds; its report as text.

Closed loop, so latency is service time. It fills its objects itself, then reports from its first request on:
there is no warm-up. Latencies come as minimum, mean and maximum and as counts of powers of two; percentiles
are not among them, and powers of two are too coarse to make any.
A server that dies leaves it waiting in silence, with exit status 0: the reports then end early.
Source: libmemcached's contrib/bin/memaslap (ms_stats.c, memaslap.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchctl.errors import ParseError, SpecError
from benchctl.loaders._shared import (
    no_latencies,
    no_null_run,
    no_prepare,
    no_samples,
    refuse_warmup,
    require_silence,
    require_whole_seconds,
)
from benchctl.loaders.loader import Command
from benchctl.model.measurement import LoaderResult, Quantity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchctl.loaders._memaslap_text import Report
    from benchctl.loaders.loader import Descriptor, Target
    from benchctl.model.experiment import Value, Workload
    from benchctl.model.measurement import TaskResult, Window

ENDS_ITSELF = True
DEFAULTS: dict[str, int | bool] = {
    "clients": 16,
    "threads": 1,
    "value_size": 1024,
    "window": 1,
    "binary": False,
}
NAMES = ("throughput", "latency_mean", "latency_min", "latency_max", "miss_ratio", "errors")
prepare = no_prepare
null_run = no_null_run
samples = no_samples
latencies = no_latencies


class _Options(NamedTuple):
    """The options of the workload with their defaults."""

    clients: int
    threads: int
    value_size: int
    window: int
    binary: bool


def names(workload: Workload) -> frozenset[str]:
    """Raises SpecError for a warm-up, which it cannot have, and for clients that threads cannot share."""
    refuse_warmup(workload, "memaslap reports its whole life and cannot leave out its beginning")
    require_whole_seconds(workload, "memaslap")
    _options(workload.options)
    return frozenset(NAMES)


def command(
    workload: Workload,
    descriptor: Descriptor,
    target: Target | None,
    seed: int,  # noqa: ARG001 - memaslap takes none
) -> Command:
    """One run, with a report each second."""
    found = _options(workload.options)
    argv = [str(descriptor["binaries"]["memaslap"]), f"--servers={_server(target)}"]
    argv += [f"--threads={found.threads}", f"--concurrency={found.clients}"]
    argv += [f"--win_size={found.window}k", f"--fixed_size={found.value_size}"]
    argv += [f"--time={int(workload.duration)}s", "--stat_freq=1s", *(["--binary"] if found.binary else [])]
    return Command(tuple(argv), {**descriptor.get("env", {}), "LC_ALL": "C.UTF-8"})


def parse(
    raw: Path,
    window: Window,  # noqa: ARG001 - the program measures by itself, nothing can be cut
    workload: Workload,
    task: TaskResult | None = None,  # noqa: ARG001 - nor is the process needed for it
) -> LoaderResult:
    """The last report, and the requests of each second. Raises ParseError, too, for seconds without any."""
    found = _options(workload.options)
    report = _report(raw, found)
    gets = report.counters["cmd_get"]
    figures = {
        "throughput": (report.throughput, "1/s"),
        "latency_mean": (report.figures["Avg"] / 1000, "ms"),
        "latency_min": (report.figures["Min"] / 1000, "ms"),
        "latency_max": (report.figures["Max"] / 1000, "ms"),
        "miss_ratio": (report.counters["get_misses"] / gets if gets else None, "1"),
        "errors": (0.0, "1"),  # what it says of any is an error of the trial
    }
    return LoaderResult(
        loader="memaslap",
        version="",  # its output does not tell; the descriptor does
        open_loop=False,
        metrics={name: Quantity(value=value, unit=unit) for name, (value, unit) in figures.items()},
        errors=0,
        requests=report.requests,
        series={
            "throughput": tuple(second.requests for second in report.seconds),
            "latency_mean": tuple(second.mean / 1000 for second in report.seconds),
        },
        percentile_source="",
        threads=found.threads,
    )


def _options(given: Mapping[str, Value]) -> _Options:
    """Raises SpecError for numbers that memaslap refuses."""
    found = {**DEFAULTS, **{name: value for name, value in given.items() if name in DEFAULTS}}
    binary = bool(found.pop("binary"))
    options = _Options(binary=binary, **{name: int(str(value)) for name, value in found.items()})
    if options.clients % options.threads:
        raise SpecError(
            f"workload.clients: {options.clients} clients cannot be shared by {options.threads} threads",
            remedy=f"a multiple of threads, such as {options.threads}",
        )
    return options


def _server(target: Target | None) -> str:
    if target is None:
        raise SpecError("workload.role: memaslap drives a memcached", remedy="add `dbms: {role: memcached}`")
    if "host" not in target:
        raise SpecError("workload.role: memaslap knows no Unix sockets", remedy="dbms: {transport: tcp}")
    return f"{target['host']}:{target['port']}"


def _report(raw: Path, found: _Options) -> Report:
    """Read the whole output and hold its parts against each other. Raises ParseError."""
    from benchctl.loaders._memaslap_text import REMEDY, read

    path = raw / "stdout"
    require_silence(raw / "stderr", "memaslap", "see the server's log")
    report = read(path)
    if len(report.seconds) < report.wanted - 1 or not all(one.requests for one in report.seconds):
        answered = f"{len(report.seconds)} of {report.wanted} seconds have requests"
        raise ParseError(f"{path}: {answered}: the server stopped answering", remedy="see the server's log")
    commands = report.counters["cmd_get"] + report.counters["cmd_set"]
    if abs(report.requests - commands) > found.clients or not report.requests:
        counted = f"{report.requests} operations, but {commands} gets and sets"
        raise ParseError(f"{path}: {counted}", remedy=REMEDY)
    return report
