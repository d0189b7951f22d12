"""BenchBase: one of its benchmarks by name, its own data, summary and list of transactions.

Closed loop, so latency is service time; with a rate too, for it begins when a terminal takes a request up.
Each run creates and loads the benchmark's tables and then executes, all from the loader's host: BenchBase
reaches servers over TCP alone. Throughput is what BenchBase calls goodput: transactions that were committed.
TPC-C has no think times here, so this is never its tpmC. Latencies are of all requests, committed or not.
Source: BenchBase's DBWorkload.java, ResultWriter.java.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from benchctl.errors import ParseError, SpecError
from benchctl.loaders._benchbase_output import REMEDY, counts, microseconds, summary
from benchctl.loaders._shared import no_null_run, no_prepare, no_samples
from benchctl.loaders.loader import Command
from benchctl.model.measurement import LoaderResult, Quantity
from benchctl.statistics.percentiles import carries

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.loaders._benchbase_output import Summary
    from benchctl.loaders.loader import Descriptor, Ints, Target
    from benchctl.model.experiment import Workload
    from benchctl.model.measurement import TaskResult, Window

ENDS_ITSELF = True
_LATENCIES = ("mean", "min", "p50", "p90", "p95", "p99", "max")
_PERCENTILES = {"latency_p50": 0.5, "latency_p90": 0.9, "latency_p95": 0.95, "latency_p99": 0.99}
_COUNTS = {
    "errors": ("Unexpected SQL Errors", "Unknown Status Transactions"),
    "retries": ("Rejected Transactions (Server Retry)", "Rejected Transactions (Retry Different)"),
    "aborts": ("Aborted Transactions",),
}
_TAKEN = ("scale", "terminals", "rate", "weights", "isolation")
prepare = no_prepare
null_run = no_null_run
samples = no_samples


def names(workload: Workload) -> frozenset[str]:  # noqa: ARG001 - the boundary's signature
    """The same for every benchmark."""
    return frozenset({"throughput", *_COUNTS, *(f"latency_{name}" for name in _LATENCIES)})


def command(
    workload: Workload,
    descriptor: Descriptor,
    target: Target | None,
    seed: int,  # noqa: ARG001 - BenchBase takes none
) -> Command:
    """One run, through the role's launcher, which fills in the benchmark's own sample of a configuration."""
    if target is None or target.get("protocol") != "postgresql":
        raise SpecError(
            "workload.role: benchbase drives a PostgreSQL", remedy="add `dbms: {role: postgresql}`"
        )
    if "host" not in target:
        raise SpecError(
            "workload.role: benchbase reaches a server over TCP alone, and this one listens on a socket",
            remedy="give the load generator a host of its own",
        )
    options = workload.options
    wish = {
        "java": descriptor["binaries"]["java"],
        "home": descriptor["home"],
        "benchmark": str(options.get("benchmark", "tpcc")),
        "warmup": round(workload.warmup),
        "time": max(1, round(workload.duration)),
        **{name: str(options[name]) for name in _TAKEN if name in options},
        **{name: str(target[name]) for name in ("host", "port", "user", "database")},
    }
    env = {**descriptor.get("env", {}), "LC_ALL": "C.UTF-8"}
    return Command((*descriptor["launcher"], json.dumps(wish, sort_keys=True)), env)


def parse(
    raw: Path,
    window: Window,  # noqa: ARG001 - BenchBase measures by itself, after a warm-up of its own
    workload: Workload,  # noqa: ARG001 - nor are its options in its figures
    task: TaskResult | None = None,  # noqa: ARG001
) -> LoaderResult:
    """Its figures, each checked against the others. Raises ParseError."""
    ends, found = counts(raw), summary(raw)
    _check(raw, ends, found)
    totals = {name: sum(ends[section] for section in sections) for name, sections in _COUNTS.items()}
    latencies = {
        name: Quantity(value=_founded(name, value, found.requests), unit="ms")
        for name, value in found.latencies.items()
    }
    return LoaderResult(
        loader="benchbase",
        version="",  # its output does not tell
        open_loop=False,
        metrics={
            "throughput": Quantity(value=found.goodput, unit="1/s"),
            **latencies,
            **{name: Quantity(value=float(total), unit="1") for name, total in totals.items()},
        },
        errors=totals["errors"],
        requests=found.requests,
        percentile_source="loader",
        threads=found.terminals,
    )


def latencies(
    raw: Path,
    window: Window,  # noqa: ARG001 - all that it writes down was measured
) -> dict[str, Ints]:
    return {"latency": microseconds(raw)}


def _founded(name: str, value: float, requests: int) -> float | None:
    """The value, unless it is a percentile that the number of requests does not carry."""
    return value if name not in _PERCENTILES or carries(requests, _PERCENTILES[name]) else None


def _check(raw: Path, ends: dict[str, int], found: Summary) -> None:
    """That its three outputs tell of the same run. Raises ParseError."""
    listed, committed = len(microseconds(raw)), ends["Completed Transactions"]
    if listed != found.requests:
        raise ParseError(
            f"{raw}: {found.requests} requests in its summary, {listed} in its list", remedy=REMEDY
        )
    if abs(committed - found.goodput * found.seconds) > 1:
        told = f"{committed} transactions on stdout, {found.goodput * found.seconds:.0f} by its summary"
        raise ParseError(f"{raw}/stdout: {told}", remedy=REMEDY)
