"""redis-benchmark 6.2 to 8: one test, a given number of requests, its table in CSV.

Closed loop, so latency is service time. The program decides when it is done and has no warm-up: what it
reports covers its whole life, from the first request to the last. It keeps no single latencies, so several
hosts have no common percentiles.
Source: Redis' src/redis-benchmark.c (showLatencyReport with config.csv).
"""

from __future__ import annotations

import csv
import math
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from benchctl.errors import ParseError, SpecError
from benchctl.loaders._shared import content, no_latencies, no_samples, refuse_warmup
from benchctl.loaders.loader import Command, NullRun
from benchctl.model.measurement import LoaderResult, Quantity
from benchctl.statistics.percentiles import carries

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchctl.loaders.loader import Descriptor, Target
    from benchctl.model.experiment import Value, Workload
    from benchctl.model.measurement import TaskResult, Window

ENDS_ITSELF = True
DEFAULTS: dict[str, int | str] = {
    "test": "get",
    "requests": 100_000,
    "clients": 50,
    "pipeline": 1,
    "threads": 1,
    "keyspace": 100_000,
    "data_size": 3,
}
TESTS = ("ping_mbulk", "set", "get", "incr", "lpush", "rpush", "lpop", "rpop", "sadd", "hset", "spop", "zadd")
_COLUMNS = {
    "rps": ("throughput", "1/s"),
    "avg_latency_ms": ("latency_mean", "ms"),
    "min_latency_ms": ("latency_min", "ms"),
    "p50_latency_ms": ("latency_p50", "ms"),
    "p95_latency_ms": ("latency_p95", "ms"),
    "p99_latency_ms": ("latency_p99", "ms"),
    "max_latency_ms": ("latency_max", "ms"),
}
_PERCENTILES = {"latency_p50": 0.5, "latency_p95": 0.95, "latency_p99": 0.99}
_NULL_REQUESTS = 100_000  # without pipelining: about a second
# What stands on stderr of a run that went well: a server that hides its settings from clients.
_REMARKS = ("WARNING: Could not fetch server CONFIG", "WARN: could not fetch server CONFIG")
_REMEDY = (
    "look at the raw files; a form that redis-benchmark really prints belongs into"
    " benchctl/loaders/redis_benchmark.py"
)
# Every key once, under the names that redis-benchmark uses: it draws keys at random, so it cannot fill them.
_FILL = (
    "for i = 0, ARGV[1] - 1 do redis.call('SET', string.format('key:%012d', i), string.rep('x', ARGV[2])) end"
    " return redis.call('DBSIZE')"
)
samples = no_samples
latencies = no_latencies


class _Options(NamedTuple):
    """The options of the workload with their defaults."""

    test: str
    requests: int
    clients: int
    pipeline: int
    threads: int
    keyspace: int
    data_size: int


def names(workload: Workload) -> frozenset[str]:
    """Its table's columns. Raises SpecError for a warm-up, which redis-benchmark cannot have."""
    refuse_warmup(
        workload,
        "redis-benchmark reports its whole life and cannot leave out its beginning",
        "take warmup out, and give it more requests",
    )
    _options(workload.options)
    return frozenset({"errors", *(name for name, _ in _COLUMNS.values())})


def prepare(
    options: Mapping[str, Value],
    descriptor: Descriptor,
    target: Target | None,
    seed: int,  # noqa: ARG001 - the data are the same each time
) -> Command:
    """`keyspace` keys with values of `data_size` bytes, by one script inside the server."""
    found = _options(options)
    words = ("EVAL", _FILL, "0", str(found.keyspace), str(found.data_size))
    return Command(
        (descriptor["binaries"]["redis-cli"], *_connection(target), *words), _environment(descriptor)
    )


def command(
    workload: Workload,
    descriptor: Descriptor,
    target: Target | None,
    seed: int,  # noqa: ARG001 - redis-benchmark 7 takes none
) -> Command:
    """One run of one test."""
    found = _options(workload.options)
    argv = [descriptor["binaries"]["redis-benchmark"], *_connection(target), "--csv", "-t", found.test]
    argv += ["-n", str(found.requests), "-c", str(found.clients), "-P", str(found.pipeline)]
    argv += ["-r", str(found.keyspace), "-d", str(found.data_size)]
    if found.threads > 1:  # with one it has no threads beside its own, which costs it less
        argv += ["--threads", str(found.threads)]
    return Command(tuple(argv), _environment(descriptor))


def null_run(
    workload: Workload,
    descriptor: Descriptor,  # noqa: ARG001 - the boundary's signature
    target: Target,
    runtime: str,
) -> NullRun:
    """The same test, clients and pipeline, for about a second."""
    found = _options(workload.options)
    requests = min(_NULL_REQUESTS * found.pipeline * found.threads, 20 * _NULL_REQUESTS)
    against = {"protocol": "redis", "reply": _answer(found), "threads": found.threads}
    if "socket" in target:
        place: Target = {"socket": f"{runtime}/null-target.sock"}
        against |= place
    else:
        place = {"host": "127.0.0.1", "port": "{port}"}
    short = msgspec.structs.replace(workload, options={**workload.options, "requests": requests})
    return NullRun(short, place, against)


def parse(
    raw: Path,
    window: Window,  # noqa: ARG001 - the program measures by itself, nothing can be cut
    workload: Workload,
    task: TaskResult | None = None,  # noqa: ARG001 - nor is the process needed for it
) -> LoaderResult:
    """The one row of the table; percentiles that the number of requests does not carry are left out."""
    found = _options(workload.options)
    row = _row(raw)
    metrics = {}
    for column, (name, unit) in _COLUMNS.items():
        value = None if _unfounded(name, found.requests) else row[column]
        metrics[name] = Quantity(value=value, unit=unit)
    return LoaderResult(
        loader="redis_benchmark",
        version="",  # its output does not tell; the descriptor does
        open_loop=False,
        metrics=metrics | {"errors": Quantity(value=0.0, unit="1")},  # it ends at the first error
        errors=0,
        requests=found.requests,
        percentile_source="loader",
        threads=found.threads,
    )


def _answer(found: _Options) -> str:
    """What a Redis with the wanted keys answers to the test."""
    if found.test in {"get", "lpop", "rpop"}:
        return f"${found.data_size}\r\n{'x' * found.data_size}\r\n"
    return {"ping_mbulk": "+PONG\r\n", "set": "+OK\r\n", "spop": "$-1\r\n"}.get(found.test, ":1\r\n")


def _options(given: Mapping[str, Value]) -> _Options:
    """Raises SpecError for a test that is no single one."""
    found = {**DEFAULTS, **{name: value for name, value in given.items() if name in DEFAULTS}}
    test = str(found.pop("test"))
    if test not in TESTS:
        raise SpecError(f"workload.test: there is no test {test!r}", remedy=f"one of {', '.join(TESTS)}")
    return _Options(test, **{name: int(str(value)) for name, value in found.items()})


def _unfounded(name: str, requests: int) -> bool:
    return name in _PERCENTILES and not carries(requests, _PERCENTILES[name])


def _row(raw: Path) -> dict[str, float]:
    """Read the table: its head and one row of numbers. Raises ParseError."""
    path = raw / "stdout"
    _require_silence(raw / "stderr")
    text = content(path)
    lines = text.splitlines()
    if text and not text.endswith("\n"):
        raise ParseError(f"{path}:{len(lines)}: the last line has no end: the table was cut", remedy=_REMEDY)
    head, *rows = list(csv.reader(lines)) or [[]]
    if head != ["test", *_COLUMNS]:
        raise ParseError(
            f"{path}:1: unknown head of a table: {lines[:1]}",
            remedy=f"take redis-benchmark 6.2 or newer: 6.0 prints no latencies; {_REMEDY}",
        )
    if len(rows) != 1 or len(rows[0]) != len(head):
        raise ParseError(f"{path}: expected one row, there are {len(rows)}: {lines[1:3]}", remedy=_REMEDY)
    try:
        row = {name: float(word) for name, word in zip(head[1:], rows[0][1:], strict=True)}
    except ValueError as error:
        raise ParseError(f"{path}:2: {error}", remedy=_REMEDY) from error
    if not all(math.isfinite(value) and value >= 0 for value in row.values()) or not row["rps"]:
        raise ParseError(f"{path}:2: {lines[1]!r} is no measurement", remedy="give it more requests")
    return row


def _require_silence(path: Path) -> None:
    said = [line for line in content(path).splitlines() if line.strip() and not line.startswith(_REMARKS)]
    if said:
        raise ParseError(f"{path}: redis-benchmark says: {said[0][:200]}", remedy="see the server's log")


def _connection(target: Target | None) -> tuple[str, ...]:
    if target is None:
        raise SpecError("workload.role: redis_benchmark drives a Redis", remedy="add `dbms: {role: redis}`")
    if "socket" in target:
        return ("-s", str(target["socket"]))
    return ("-h", str(target["host"]), "-p", str(target["port"]))


def _environment(descriptor: Descriptor) -> dict[str, str]:
    return {**descriptor.get("env", {}), "LC_ALL": "C.UTF-8"}
