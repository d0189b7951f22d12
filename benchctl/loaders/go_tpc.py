"""go-tpc 1.0: TPC-C's five transactions on PostgreSQL, its reports as JSON.

Closed loop without think times, so latency is service time, and nothing here is a TPC-C result: go-tpc's own
words for that (tpmC, efficiency) are read to see that its numbers add up, and not passed on. It reports its
whole life. Its histogram has one digit: percentiles come in steps of a few percent, and none is below 1 ms.
Means are exact. Failed transactions are tried no more and counted; the load goes on.
Source: go-tpc's tpcc/workload.go, pkg/measurement/hist.go, pkg/util/output.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from benchctl.errors import SpecError
from benchctl.loaders._go_tpc_text import NEW_ORDER, TRANSACTIONS, read_text
from benchctl.loaders._shared import no_latencies, no_null_run, no_samples, refuse_warmup
from benchctl.loaders.loader import Command
from benchctl.model.measurement import LoaderResult, Quantity
from benchctl.statistics.percentiles import carries

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchctl.loaders._operations import Report
    from benchctl.loaders.loader import Descriptor, Target
    from benchctl.model.experiment import Value, Workload
    from benchctl.model.measurement import TaskResult, Window

ENDS_ITSELF = True
DEFAULTS = {"warehouses": 10, "clients": 8}
_LOADING_THREADS = 4
_PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
_COLUMNS = {"p50": "50th(ms)", "p90": "90th(ms)", "p95": "95th(ms)", "p99": "99th(ms)", "p999": "99.9th(ms)"}
null_run = no_null_run
samples = no_samples
latencies = no_latencies


def names(workload: Workload) -> frozenset[str]:
    """Raises SpecError for a warm-up, which go-tpc cannot have."""
    refuse_warmup(
        workload,
        "go-tpc reports its whole life and cannot leave out its beginning",
        "take warmup out, and give it a longer duration",
    )
    parts = {f"{kind.lower()}_latency_{name}" for kind in TRANSACTIONS for name in ("mean", "p99", "max")}
    more = {f"new_order_latency_{name}" for name in _PERCENTILES}
    return frozenset({"throughput", "new_orders", "latency_mean", "errors", *parts, *more})


def prepare(
    options: Mapping[str, Value],
    descriptor: Descriptor,
    target: Target | None,
    seed: int,  # noqa: ARG001 - go-tpc takes none: its values differ each time, their number does not
) -> Command:
    """Tables and rows; go-tpc's own check of them would take twenty times as long."""
    words = ["--threads", str(_LOADING_THREADS), "--no-check"]
    return _command("prepare", words, options, descriptor, target)


def command(
    workload: Workload,
    descriptor: Descriptor,
    target: Target | None,
    seed: int,  # noqa: ARG001 - go-tpc takes none
) -> Command:
    """One run of the window's length."""
    words = ["--threads", str(_clients(workload.options)), "--time", f"{workload.duration:g}s"]
    words += ["--interval", "1s", "--output", "json", "--ignore-error", "--silence"]
    return _command("run", words, workload.options, descriptor, target)


def parse(
    raw: Path,
    window: Window,  # noqa: ARG001 - the program measures by itself, nothing can be cut
    workload: Workload,
    task: TaskResult | None = None,  # noqa: ARG001 - nor is the process needed for it
) -> LoaderResult:
    """The summary; percentiles that the number of transactions does not carry are left out."""
    text = read_text(raw)
    last = text.summary
    count = sum(last.count(kind) for kind in TRANSACTIONS)
    milliseconds = sum(last.rows[kind]["Sum(ms)"] for kind in TRANSACTIONS if kind in last.rows)
    per_minute = sum(last.rows[kind]["TPM"] for kind in TRANSACTIONS if kind in last.rows)
    metrics = {
        "throughput": Quantity(value=per_minute / 60, unit="1/s"),
        "new_orders": Quantity(value=last.rows[NEW_ORDER]["TPM"], unit="1/min"),
        "latency_mean": Quantity(value=milliseconds / count, unit="ms"),
        "errors": Quantity(value=float(last.errors), unit="1"),
    }
    for kind in TRANSACTIONS:
        metrics |= _latencies(last, kind, _PERCENTILES if kind == NEW_ORDER else {"p99": 0.99})
    return LoaderResult(
        loader="go_tpc",
        version="",  # its output does not tell; the descriptor does
        open_loop=False,
        metrics=metrics,
        errors=last.errors,
        requests=count + last.errors,
        series={"throughput": tuple(float(sum(map(one.count, TRANSACTIONS))) for one in text.seconds)},
        percentile_source="loader",
        threads=_clients(workload.options),
    )


def _latencies(last: Report, kind: str, percentiles: Mapping[str, float]) -> dict[str, Quantity]:
    """Of one kind of transaction: exact mean, and what the histogram says; None where it says nothing."""
    prefix, row = f"{kind.lower()}_latency_", last.rows.get(kind)
    mean = None if row is None else row["Sum(ms)"] / last.count(kind)
    found: dict[str, float | None] = {"mean": mean, "max": None if row is None else row["Max(ms)"]}
    for name, quantile in percentiles.items():
        carried = row is not None and carries(last.count(kind), quantile)
        found[name] = row[_COLUMNS[name]] if row is not None and carried else None
    return {f"{prefix}{name}": Quantity(value=value, unit="ms") for name, value in found.items()}


def _clients(options: Mapping[str, Value]) -> int:
    return int(str(options.get("clients", DEFAULTS["clients"])))


def _command(
    verb: str,
    words: list[str],
    options: Mapping[str, Value],
    descriptor: Descriptor,
    target: Target | None,
) -> Command:
    warehouses = str(options.get("warehouses", DEFAULTS["warehouses"]))
    argv = [str(descriptor["binaries"]["go-tpc"]), "tpcc", verb, "--warehouses", warehouses, *words]
    return Command((*argv, *_connection(target)), {**descriptor.get("env", {}), "LC_ALL": "C.UTF-8"})


def _connection(target: Target | None) -> tuple[str, ...]:
    """How the server is reached; its password comes by PGPASSFILE."""
    if target is None or target.get("protocol") != "postgresql":
        raise SpecError(
            "workload.role: go_tpc drives a PostgreSQL (it takes a MySQL's password as an argument only)",
            remedy="add `dbms: {role: postgresql}`",
        )
    place = ("--driver", "postgres", "--user", str(target["user"]), "--db", str(target["database"]))
    if "socket" in target:  # a parameter of its URL names the socket's folder, where no host stands before it
        parameters = f"sslmode=disable&host={quote(str(target['socket']), safe='/{}')}"
        return (*place, "--targets", f":{target['port']}", "--conn-params", parameters)
    host = f"[{target['host']}]" if ":" in str(target["host"]) else str(target["host"])
    return (*place, "--host", host, "--port", str(target["port"]), "--conn-params", "sslmode=disable")
