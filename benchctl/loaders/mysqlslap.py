"""mysqlslap of MariaDB 10.11: rounds of generated queries by a number of clients, averages only.

Closed loop: each client sends its next query when the last one has been answered. The program makes a table
of its own before each round, which is not measured, drops it afterwards, and ends after its rounds; it has no
warm-up. It times whole rounds: throughput is all queries over the mean time of a round, the mean latency that
time over the queries of one client. It keeps no single latencies, so there are no percentiles.
Source: MariaDB's client/mysqlslap.c (print_conclusions_csv).
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, NamedTuple

from benchctl.errors import ParseError, SpecError
from benchctl.loaders._shared import (
    content,
    no_latencies,
    no_null_run,
    no_prepare,
    no_samples,
    refuse_warmup,
    require_silence,
)
from benchctl.loaders.loader import Command
from benchctl.model.measurement import LoaderResult, Quantity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchctl.loaders.loader import Descriptor, Target
    from benchctl.model.experiment import Value, Workload
    from benchctl.model.measurement import TaskResult, Window

ENDS_ITSELF = True
DEFAULTS: dict[str, int | str] = {"test": "mixed", "queries": 10_000, "clients": 1, "rounds": 1}
TESTS = ("mixed", "read", "write", "key", "update")
_METRICS = ("throughput", "latency_mean", "round_mean", "round_min", "round_max", "errors")
_COLUMNS = 7  # engine, test, three times of a round, clients, queries of a client
_DIGITS = 0.001  # s: times have three decimals
_LEAST = 0.1  # s: a round with less than 1 % of rounding on either side
_REMEDY = (
    "look at the raw files; a form that mysqlslap really prints belongs into benchctl/loaders/mysqlslap.py"
)
prepare = no_prepare
null_run = no_null_run
samples = no_samples
latencies = no_latencies


class _Options(NamedTuple):
    """The options of the workload with their defaults."""

    test: str
    queries: int
    clients: int
    rounds: int


class _Row(NamedTuple):
    """What the program printed; seconds of a round."""

    mean: float
    least: float
    most: float
    each: int  # queries of one client


def names(workload: Workload) -> frozenset[str]:
    """Averages of its rounds. Raises SpecError for what it cannot have."""
    refuse_warmup(
        workload,
        "mysqlslap reports whole rounds and cannot leave out their beginning",
        "take warmup out, and give it more queries",
    )
    _options(workload.options)
    return frozenset(_METRICS)


def command(workload: Workload, descriptor: Descriptor, target: Target | None, seed: int) -> Command:
    """One run; each host has a schema of its own, named by its seed, for the program drops it."""
    found = _options(workload.options)
    argv = [str(descriptor["binaries"]["mariadb-slap"]), *_connection(target, descriptor), "--csv"]
    argv += ["--auto-generate-sql", f"--auto-generate-sql-load-type={found.test}"]
    if found.test in ("key", "update"):  # by the primary key, which the table has only then
        argv.append("--auto-generate-sql-guid-primary")
    argv += [f"--number-of-queries={found.queries}", f"--concurrency={found.clients}"]
    argv += [f"--iterations={found.rounds}", f"--create-schema=mysqlslap_{seed}"]
    return Command(tuple(argv), {**descriptor.get("env", {}), "LC_ALL": "C.UTF-8", "TZ": "UTC"})


def parse(
    raw: Path,
    window: Window,  # noqa: ARG001 - the program measures by itself, nothing can be cut
    workload: Workload,
    task: TaskResult | None = None,  # noqa: ARG001 - nor is the process needed for it
) -> LoaderResult:
    """The one row of its CSV."""
    found = _options(workload.options)
    row = _row(raw, found)
    values = {
        "throughput": (row.each * found.clients / row.mean, "1/s"),
        "latency_mean": (row.mean / row.each * 1000, "ms"),
        "round_mean": (row.mean, "s"),
        "round_min": (row.least, "s"),
        "round_max": (row.most, "s"),
        "errors": (0.0, "1"),  # it ends at the first error
    }
    return LoaderResult(
        loader="mysqlslap",
        version="",  # its output does not tell; the descriptor does
        open_loop=False,
        metrics={name: Quantity(value=value, unit=unit) for name, (value, unit) in values.items()},
        errors=0,
        requests=row.each * found.clients * found.rounds,
        percentile_source="loader",
        threads=found.clients,
    )


def _options(given: Mapping[str, Value]) -> _Options:
    """Raises SpecError for a test that there is not, and for clients without a query."""
    found = {**DEFAULTS, **{name: value for name, value in given.items() if name in DEFAULTS}}
    test = str(found.pop("test"))
    if test not in TESTS:
        raise SpecError(f"workload.test: there is no test {test!r}", remedy=f"one of {', '.join(TESTS)}")
    options = _Options(test, **{name: int(str(value)) for name, value in found.items()})
    if options.queries < options.clients:
        raise SpecError(
            f"workload.queries: {options.queries} for {options.clients} clients",
            remedy="give each client at least one",
        )
    return options


def _row(raw: Path, asked: _Options) -> _Row:
    """Read the row; it has to be of this test with these clients. Raises ParseError."""
    path = raw / "stdout"
    require_silence(raw / "stderr", "mysqlslap", "see the server's log")
    rows = list(csv.reader(content(path).splitlines()))
    if len(rows) != 1 or len(rows[0]) != _COLUMNS:
        raise ParseError(f"{path}: expected one row of {_COLUMNS} columns: {rows[:2]}", remedy=_REMEDY)
    _, test, *words = rows[0]
    try:
        mean, least, most = map(float, words[:3])
        clients, each = map(int, words[3:])
    except ValueError as error:
        raise ParseError(f"{path}:1: {error}", remedy=_REMEDY) from error
    if (test, clients, each) != (asked.test, asked.clients, asked.queries // asked.clients):
        raise ParseError(f"{path}:1: of another run than was asked for: {rows[0]}", remedy=_REMEDY)
    if not least - _DIGITS <= mean <= most + _DIGITS:
        raise ParseError(f"{path}:1: a mean of {mean} s outside of {least} to {most} s", remedy=_REMEDY)
    if not least >= _LEAST:
        raise ParseError(
            f"{path}:1: a round of {least} s is no measurement: it is told in whole milliseconds",
            remedy=f"give it more queries, so that a round takes {_LEAST:g} s or more",
        )
    return _Row(mean, least, most, each)


def _connection(target: Target | None, descriptor: Descriptor) -> list[str]:
    """Where the server is; a password stands in a file that the role wrote, never in an argument."""
    if target is None or target.get("protocol") != "mysql":
        raise SpecError("workload.role: mysqlslap drives a MariaDB", remedy="add `dbms: {role: mariadb}`")
    if "socket" in target:
        return ["--no-defaults", f"--socket={target['socket']}", f"--user={target['user']}"]
    return [
        f"--defaults-file={descriptor['mysql_options']}",
        f"--host={target['host']}",
        f"--port={target['port']}",
        f"--user={target['user']}",
    ]
