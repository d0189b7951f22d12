"""pgbench 15 to 18: one invocation of warm-up plus window, its per-transaction log, its summary.

All numbers come from the log (`-l`), cut to the measured window by its epoch timestamps. The log's clock is
CLOCK_MONOTONIC shifted to the epoch when pgbench starts, and a line is written when its transaction has
completed. The summary and the progress lines are read as well and have to agree with the log.
Source: PostgreSQL's src/bin/pgbench/pgbench.c (doLog, printResults, printProgressReport).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from benchctl.errors import SpecError
from benchctl.loaders.loader import Command, NullRun
from benchctl.model.measurement import LoaderResult, Quantity
from benchctl.statistics.percentiles import carries

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pyarrow as pa

    from benchctl.loaders._pgbench_log import Digest
    from benchctl.loaders.loader import Descriptor, Ints, Target
    from benchctl.model.experiment import Value, Workload
    from benchctl.model.measurement import TaskResult, Window

ENDS_ITSELF = False
BUILTINS = ("tpcb-like", "simple-update", "select-only")
LOG_PREFIX = "tx"
_NULL_PORT = 1  # of the null target's socket: no server of an instance has it
_CONNECTED = 100  # clients that certainly are connected within a second
_ALWAYS = ("throughput", "latency_mean", "errors", "retries")
_LATENESS = ("schedule_lag_mean", "schedule_lag_p99")
PERCENTILES = {"latency_p50": 0.5, "latency_p95": 0.95, "latency_p99": 0.99, "latency_p999": 0.999}


def names(workload: Workload) -> frozenset[str]:
    """How late transactions start is known with a rate only."""
    late = _LATENESS if "rate" in workload.options else ()
    return frozenset({*_ALWAYS, *PERCENTILES, *late})


def prepare(
    options: Mapping[str, Value],
    descriptor: Descriptor,
    target: Target | None,
    seed: int,  # noqa: ARG001 - pgbench refuses a seed with -i: the tables it fills are the same each time
) -> Command:
    """`pgbench -i`: tables, rows, vacuum and primary keys."""
    scale = str(options.get("scale", 1))
    return Command(
        (_binary(descriptor), "-i", "-q", "-s", scale, *_connection(target)), _environment(descriptor)
    )


def command(workload: Workload, descriptor: Descriptor, target: Target | None, seed: int) -> Command:
    """One run of ceil(warm-up + window) seconds: `-T` takes whole seconds only, and the log is cut anyway."""
    options = workload.options
    clients, threads = int(str(options.get("clients", 1))), _threads(options, descriptor)
    argv = [_binary(descriptor), "-n", "-T", str(math.ceil(workload.warmup + workload.duration))]
    argv += ["-P", "1", "--progress-timestamp", "-l", f"--log-prefix={LOG_PREFIX}", f"--random-seed={seed}"]
    argv += ["-c", str(clients), "-j", str(threads), "-M", str(options.get("protocol", "simple"))]
    if "rate" in options:
        argv += ["-R", str(options["rate"])]
    argv += _script(str(options.get("script", BUILTINS[0])))
    return Command((*argv, *_connection(target)), _environment(descriptor))


def null_run(workload: Workload, descriptor: Descriptor, target: Target, runtime: str) -> NullRun | None:
    """The same clients, threads and script, without a rate; None for a script that wants its own answers."""
    options = {name: value for name, value in workload.options.items() if name != "rate"}
    if options.get("script", BUILTINS[0]) not in BUILTINS:
        return None
    against = {
        "protocol": "postgresql",
        "version": str(descriptor["version"]),
        "scale": options.get("scale", 1),
        "threads": _threads(options, descriptor),
    }
    if "socket" in target:
        against["socket"] = f"{runtime}/.s.PGSQL.{_NULL_PORT}"
        place: Target = {"socket": runtime, "port": _NULL_PORT}
    else:
        place = {"host": "127.0.0.1", "port": "{port}"}
    connecting = int(str(options.get("clients", 1))) // _CONNECTED
    short = msgspec.structs.replace(workload, warmup=0.1 + connecting, duration=0.8, options=options)
    return NullRun(short, {**target, **place}, against)


def parse(
    raw: Path,
    window: Window,
    workload: Workload,  # noqa: ARG001 - pgbench's own words say how it ran
    task: TaskResult | None = None,  # noqa: ARG001 - nor is the process needed for it
) -> LoaderResult:
    """Throughput, latency, errors, retries and, with a rate, schedule lag, over the window."""
    from benchctl.loaders._pgbench_log import digest
    from benchctl.loaders._pgbench_text import read_text

    text = read_text(raw)
    found = digest(raw, text, window)
    return LoaderResult(
        loader="pgbench",
        version=text.summary.version,
        open_loop=text.summary.rated,
        metrics=_metrics(found, window),
        errors=found.failed,
        requests=found.requests,
        series={"throughput": found.throughput, "latency_mean": found.latency_mean},
        percentile_source="log",
        threads=text.summary.threads,
    )


def samples(raw: Path, window: Window) -> pa.Table:
    """Every transaction that succeeded inside the window, thread by thread in the order of completion."""
    from benchctl.loaders._pgbench_log import table
    from benchctl.loaders._pgbench_text import read_text

    return table(raw, read_text(raw), window)


def latencies(raw: Path, window: Window) -> dict[str, Ints]:
    """Latencies of the transactions that succeeded inside the window, and with a rate how late they began."""
    from benchctl.loaders._pgbench_log import digest
    from benchctl.loaders._pgbench_text import read_text

    found = digest(raw, read_text(raw), window)
    return {"latency": found.latency} | ({} if found.lag is None else {"schedule_lag": found.lag})


def _metrics(found: Digest, window: Window) -> dict[str, Quantity]:
    succeeded = found.requests - found.failed
    metrics = {
        "throughput": Quantity(value=succeeded / window.seconds, unit="1/s"),
        "latency_mean": Quantity(value=found.mean_latency, unit="ms"),
        "errors": Quantity(value=float(found.failed), unit="1"),
        "retries": Quantity(value=float(found.retries), unit="1"),
    }
    metrics |= _percentiles(found.latency, PERCENTILES)
    if found.lag is not None:
        metrics["schedule_lag_mean"] = Quantity(value=found.mean_lag, unit="ms")
        metrics |= _percentiles(found.lag, {"schedule_lag_p99": 0.99})
    return metrics


def _percentiles(microseconds: Ints, wanted: dict[str, float]) -> dict[str, Quantity]:
    """Each wanted percentile in ms; None where the sample is too small for it."""
    from benchctl.loaders._pgbench_log import quantiles_ms

    carried = {name: q for name, q in wanted.items() if carries(len(microseconds), q)}
    values = quantiles_ms(microseconds, tuple(carried.values())) if carried else []
    found = dict(zip(carried, values, strict=True))
    return {name: Quantity(value=found.get(name), unit="ms") for name in wanted}


def _threads(options: Mapping[str, Value], descriptor: Descriptor) -> int:
    most = min(int(str(options.get("clients", 1))), int(descriptor.get("processors", 1)))
    return int(str(options.get("threads", most)))


def _binary(descriptor: Descriptor) -> str:
    binaries: dict[str, Any] = descriptor["binaries"]
    return str(binaries["pgbench"])


def _environment(descriptor: Descriptor) -> dict[str, str]:
    """Pgbench's words and numbers in the one form that the parser knows."""
    # with some C libraries LANGUAGE translates in C.UTF-8 too
    return {**descriptor.get("env", {}), "LC_ALL": "C.UTF-8", "LANGUAGE": "C", "TZ": "UTC"}


def _connection(target: Target | None) -> tuple[str, ...]:
    if target is None:
        raise SpecError("workload.role: pgbench drives a PostgreSQL", remedy="add `dbms: {role: postgresql}`")
    host = target["socket"] if "socket" in target else target["host"]
    return ("-h", str(host), "-p", str(target["port"]), "-U", str(target["user"]), str(target["database"]))


def _script(script: str) -> list[str]:
    if script in BUILTINS:
        return ["-b", script]
    if script.startswith("/"):
        return ["-f", script]
    raise SpecError(
        f"workload.script: {script!r} is neither a builtin nor an absolute path",
        remedy=f"name one of {', '.join(BUILTINS)}, or a script beside the experiment",
    )
