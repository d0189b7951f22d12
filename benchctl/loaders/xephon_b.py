"""xb 1, the load generator in roles/xephon_b for KairosDB, and Xephon-B 0.3 itself.

xb writes a line for each request, and all numbers of the window come from those; its report, the last line of
output with Xephon-B's keys, has to agree with them. Xephon-B has its report only: it begins with the load, so
its numbers hold the warm-up too. One request carries many points; throughput counts points.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchctl.errors import SpecError
from benchctl.loaders._shared import no_null_run, no_prepare
from benchctl.loaders.loader import Command
from benchctl.model.measurement import LoaderResult, Quantity
from benchctl.statistics.percentiles import carries

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from benchctl.loaders._xephon_b_text import Report
    from benchctl.loaders.loader import Descriptor, Ints, Target
    from benchctl.model.experiment import Value, Workload
    from benchctl.model.measurement import TaskResult, Window

ENDS_ITSELF = False
REQUESTS = "requests.log"
DEFAULTS: dict[str, Value] = {
    "workers": 4,
    "batch_series": 10,
    "batch_points": 10,
    "series": 10,
    "tags": 2,
    "interval": 0.001,
    "value": "constant",
    "retries": 3,
    "timeout": 5.0,
}
_WORDS = {
    "workers": "worker.num",
    "batch_series": "batch.series",
    "batch_points": "batch.points",
    "series": "series.num",
    "tags": "series.numTags",
    "interval": "time.interval",
    "value": "value.generator",
    "retries": "retries",
    "timeout": "timeout",
}
_ALWAYS = ("throughput", "request_rate", "latency_mean", "latency_min", "latency_max", "points", "errors")
PERCENTILES = {"latency_p50": 0.5, "latency_p95": 0.95, "latency_p99": 0.99}
prepare = no_prepare
null_run = no_null_run


def names(workload: Workload) -> frozenset[str]:
    """Percentiles and retries come from the lines of requests, which Xephon-B does not write."""
    return frozenset(_ALWAYS if "binary" in workload.options else {*_ALWAYS, *PERCENTILES, "retries"})


def command(workload: Workload, descriptor: Descriptor, target: Target | None, seed: int) -> Command:
    """One run over warm-up and window. The metric's name has the seed: no two hosts write the same points."""
    if target is None or "host" not in target:
        raise SpecError("workload.role: xephon_b drives a KairosDB", remedy="add `dbms: {role: kairosdb}`")
    options = {**DEFAULTS, **workload.options}
    argv = [str(descriptor["binaries"]["xb"]), "run", "-addr", f"http://{target['host']}:{target['port']}"]
    argv += ["-duration", f"{workload.warmup + workload.duration:g}s", "-series.prefix", f"xb-{seed}"]
    if binary := options.get("binary"):
        argv += ["-binary", str(binary)]
    else:
        argv += ["-requests", REQUESTS, "-seed", str(seed)]
    for name, word in _WORDS.items():
        if not (binary and name == "retries"):  # for which Xephon-B has no key
            argv += [f"-{word}", _word(name, options[name])]
    return Command(tuple(argv), {**descriptor.get("env", {}), "LC_ALL": "C.UTF-8"})


def parse(
    raw: Path,
    window: Window,
    workload: Workload,  # noqa: ARG001 - what was printed says how it ran
    task: TaskResult | None = None,  # noqa: ARG001 - nor is the process needed for it
) -> LoaderResult:
    """Points and requests per second, latency of requests, errors; `points` is of the whole run."""
    from benchctl.loaders._xephon_b_text import digest, read_report

    report = read_report(raw)
    if not report.own:
        return _of_report(report)
    found = digest(raw / REQUESTS, report, window)
    quantiles = {
        name: float(found.quantile(q)) / 1000 if carries(len(found.latency), q) else None
        for name, q in PERCENTILES.items()
    }
    metrics = {
        "throughput": Quantity(value=found.points / window.seconds, unit="1/s"),
        "request_rate": Quantity(value=len(found.latency) / window.seconds, unit="1/s"),
        "latency_mean": _ms(found.mean),
        "latency_min": _ms(found.shortest),
        **{name: Quantity(value=value, unit="ms") for name, value in quantiles.items()},
        "latency_max": _ms(found.longest),
        "points": Quantity(value=float(report.points), unit="1"),
        "retries": Quantity(value=float(found.retries), unit="1"),
        "errors": Quantity(value=float(found.failed), unit="1"),
    }
    return LoaderResult(
        loader="xephon_b",
        version=report.version,
        open_loop=False,
        metrics=metrics,
        errors=found.failed,
        requests=len(found.latency) + found.failed,
        series={"throughput": found.throughput},
        percentile_source="log",
    )


def samples(raw: Path, window: Window) -> pa.Table | None:
    """Every request that succeeded inside the window, in the order of completion; None of Xephon-B."""
    from benchctl.loaders._xephon_b_text import digest, read_report

    report = read_report(raw)
    return digest(raw / REQUESTS, report, window).table() if report.own else None


def latencies(raw: Path, window: Window) -> dict[str, Ints]:
    """Latencies of the requests that succeeded inside the window; none of Xephon-B."""
    from benchctl.loaders._xephon_b_text import digest, read_report

    report = read_report(raw)
    return {"latency": digest(raw / REQUESTS, report, window).latency} if report.own else {}


def _of_report(report: Report) -> LoaderResult:
    """What Xephon-B says of its whole life."""
    succeeded = report.requests - report.failed
    metrics = {
        "throughput": Quantity(value=report.points / report.seconds, unit="1/s"),
        "request_rate": Quantity(value=succeeded / report.seconds, unit="1/s"),
        "latency_mean": _ms(report.mean),
        "latency_min": _ms(report.shortest),
        "latency_max": _ms(report.longest),
        "points": Quantity(value=float(report.points), unit="1"),
        "errors": Quantity(value=float(report.failed), unit="1"),
    }
    return LoaderResult(
        loader="xephon_b",
        version=report.version,
        open_loop=False,
        metrics=metrics,
        errors=report.failed,
        requests=report.requests,
        percentile_source="loader",
    )


def _ms(microseconds: float | None) -> Quantity:
    return Quantity(value=None if microseconds is None else microseconds / 1000, unit="ms")


def _word(name: str, value: Value) -> str:
    """A duration as Go reads it, which knows no exponents: no less than a millisecond has none."""
    return f"{float(str(value)):g}s" if name in {"interval", "timeout"} else str(value)
