"""sysbench 1.0: its OLTP tests on PostgreSQL and MariaDB, one invocation of warm-up plus window.

What counts is what sysbench reports at its end: all that was completed since the checkpoint at the end of the
warm-up. Its clock begins when all of its threads are connected, so its window lies later than the trial's by
that time. Percentiles come from its histogram, whose buckets are 1.8 % wide: a percentile is the middle of
one, right to 0.9 %; what took longer than 100 s is counted as 100 s. Closed loop without a rate (latency is
service time); with one, latency counts from the moment that a transaction was due.
A transaction that fails for a reason of its own, such as a deadlock, is executed again until it succeeds: it
counts once, with all the time it took, and each repetition as a retry. A lost connection counts as an error.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from benchctl.errors import ParseError, SpecError
from benchctl.loaders._shared import no_null_run, no_samples
from benchctl.loaders.loader import Command
from benchctl.model.measurement import LoaderResult, Quantity
from benchctl.statistics.percentiles import carries

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchctl.loaders._sysbench_text import Text
    from benchctl.loaders.loader import Descriptor, Ints, Target
    from benchctl.model.experiment import Value, Workload
    from benchctl.model.measurement import TaskResult, Window

ENDS_ITSELF = False
TESTS = (
    "oltp_read_write",
    "oltp_read_only",
    "oltp_write_only",
    "oltp_point_select",
    "oltp_update_index",
    "oltp_update_non_index",
    "oltp_insert",
    "oltp_delete",
    "select_random_points",
    "select_random_ranges",
)
PARAMETERS = (  # of the tests, without those that would need other tables
    "delete_inserts",
    "delta",
    "distinct_ranges",
    "index_updates",
    "non_index_updates",
    "number_of_ranges",
    "order_ranges",
    "point_selects",
    "random_points",
    "range_selects",
    "range_size",
    "simple_ranges",
    "skip_trx",
    "sum_ranges",
)
PERCENTILES = {"latency_p50": 0.5, "latency_p95": 0.95, "latency_p99": 0.99, "latency_p999": 0.999}
_OTHERS = ("throughput", "queries", "latency_mean", "latency_min", "latency_max", "errors", "retries")
_WORD = re.compile(r"[a-z0-9]+")
null_run = no_null_run
samples = no_samples


def names(workload: Workload) -> frozenset[str]:
    """The same for all tests. Raises SpecError for what sysbench cannot have."""
    for name, seconds in (("warmup", workload.warmup), ("duration", workload.duration)):
        if seconds != int(seconds):
            raise SpecError(
                f"workload.{name}: {seconds:g}s: sysbench counts in whole seconds",
                remedy=f"{name}: {int(seconds) + 1}s",
            )
    _test(workload.options)
    _parameters(workload.options)
    return frozenset({*_OTHERS, *PERCENTILES})


def prepare(
    options: Mapping[str, Value],
    descriptor: Descriptor,
    target: Target | None,
    seed: int,
) -> Command:
    """The tables and their rows, which are the same for all tests."""
    return _command("oltp_read_write", (), "prepare", options, descriptor, target, seed)


def command(workload: Workload, descriptor: Descriptor, target: Target | None, seed: int) -> Command:
    """One run through warm-up and window; the warm-up ends with a checkpoint."""
    options = workload.options
    words = [f"--threads={options.get('threads', 1)}"]
    words += [f"--time={int(workload.warmup + workload.duration)}", "--report-interval=1"]
    words += ["--histogram=on", "--percentile=99"]
    if workload.warmup:
        words.append(f"--report-checkpoints={int(workload.warmup)}")
    if "rate" in options:
        words.append(f"--rate={options['rate']}")
    words += _parameters(options)
    return _command(_test(options), words, "run", options, descriptor, target, seed)


def parse(
    raw: Path,
    window: Window,
    workload: Workload,
    task: TaskResult | None = None,  # noqa: ARG001 - sysbench's own words say how it ran
) -> LoaderResult:
    """The report at the end, and the seconds of the window."""
    from benchctl.loaders._sysbench_text import read_text

    text = read_text(raw)
    _require_own(raw, text, workload)
    return LoaderResult(
        loader="sysbench",
        version=text.version,
        open_loop=text.rated,
        metrics=_metrics(text),
        errors=text.reconnects,
        requests=text.transactions + text.reconnects,
        series={"throughput": _series(text, window)},
        percentile_source="histogram",
        threads=text.threads,
    )


def latencies(
    raw: Path,
    window: Window,  # noqa: ARG001 - sysbench has cut its histogram to its own window
) -> dict[str, Ints]:
    """Every transaction as long as the middle of its bucket."""
    from benchctl.loaders._sysbench_text import read_text

    return {"latency": _microseconds(read_text(raw))}


def _metrics(text: Text) -> dict[str, Quantity]:
    import numpy as np

    found = {
        "throughput": Quantity(value=text.transactions / text.seconds, unit="1/s"),
        "queries": Quantity(value=text.queries / text.seconds, unit="1/s"),
        "latency_mean": Quantity(value=text.mean, unit="ms"),
        "latency_min": Quantity(value=text.minimum if text.transactions else None, unit="ms"),
        "latency_max": Quantity(value=text.maximum if text.transactions else None, unit="ms"),
        "errors": Quantity(value=float(text.reconnects), unit="1"),
        "retries": Quantity(value=float(text.ignored), unit="1"),
    }
    microseconds = _microseconds(text)
    carried = {name: q for name, q in PERCENTILES.items() if carries(len(microseconds), q)}
    values = np.quantile(microseconds, tuple(carried.values())) / 1000 if carried else ()
    known = dict(zip(carried, map(float, values), strict=True))
    return found | {name: Quantity(value=known.get(name), unit="ms") for name in PERCENTILES}


def _microseconds(text: Text) -> Ints:
    import numpy as np

    middles = np.array([round(ms * 1000) for ms, _ in text.buckets], dtype=np.int64)
    return np.repeat(middles, [count for _, count in text.buckets])


def _series(text: Text, window: Window) -> tuple[float | None, ...]:
    """By second of the window; one that was reported late, twice or not at all has no value."""
    first = (text.checkpoint or 0) + 1
    told: dict[int, list[float]] = {}
    for second, tps in text.per_second:
        told.setdefault(second, []).append(tps)
    found = [told.get(second, []) for second in range(first, first + int(window.seconds + 1e-6))]
    return tuple(values[0] if len(values) == 1 else None for values in found)


def _require_own(raw: Path, text: Text, workload: Workload) -> None:
    """Raise ParseError where the output is of another run than was asked for."""
    asked = (
        int(str(workload.options.get("threads", 1))),
        int(workload.warmup) or None,
        "rate" in workload.options,
    )
    if (text.threads, text.checkpoint, text.rated) != asked:
        raise ParseError(
            f"{raw / 'stdout'}: of another run: it had {text.threads} threads, the warm-up"
            f" {text.checkpoint or 0}s and {'a' if text.rated else 'no'} rate",
            remedy="compare it with the experiment",
        )


def _command(
    test: str,
    words: list[str] | tuple[()],
    verb: str,
    options: Mapping[str, Value],
    descriptor: Descriptor,
    target: Target | None,
    seed: int,
) -> Command:
    argv = [str(descriptor["binaries"]["sysbench"]), test, *_connection(target, descriptor)]
    argv += [f"--tables={options.get('tables', 1)}", f"--table_size={options.get('table_size', 10000)}"]
    argv += [*words, f"--rand-seed={max(1, seed)}", verb]  # 0 would be the time of day
    env = {**descriptor.get("env", {}), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    return Command(tuple(argv), env)


def _connection(target: Target | None, descriptor: Descriptor) -> list[str]:
    """Where the server is; a password stands in a file that the role wrote, never in an argument."""
    if target is None or target.get("protocol") not in ("postgresql", "mysql"):
        raise SpecError(
            "workload.role: sysbench drives a PostgreSQL or a MariaDB",
            remedy="add `dbms: {role: postgresql}` or `dbms: {role: mariadb}`",
        )
    kind = "pgsql" if target["protocol"] == "postgresql" else "mysql"
    reach = {"user": target["user"], "db": target["database"]}
    if "socket" not in target or kind == "pgsql":
        reach |= {"host": target.get("socket", target.get("host")), "port": target["port"]}
    else:
        reach["socket"] = target["socket"]
    words = [f"--{kind}-{name}={value}" for name, value in reach.items()]
    if kind == "mysql" and "socket" not in target:
        words.insert(0, f"--config-file={descriptor['mysql_options']}")
    return [f"--db-driver={kind}", *words]


def _test(options: Mapping[str, Value]) -> str:
    test = str(options.get("test", TESTS[0]))
    if test not in TESTS:
        raise SpecError(f"workload.test: there is no test {test!r}", remedy=f"one of {', '.join(TESTS)}")
    return test


def _parameters(options: Mapping[str, Value]) -> list[str]:
    """The test's own options. Raises SpecError for those that would change how sysbench measures."""
    given = options.get("parameters", {})
    if not isinstance(given, dict):
        raise SpecError(
            f"workload.parameters: {given!r} is no mapping", remedy="parameters: {range_size: 10}"
        )
    words = []
    for name, value in given.items():
        text = ("off", "on")[value] if isinstance(value, bool) else str(value)
        if name not in PARAMETERS or not _WORD.fullmatch(text):
            raise SpecError(
                f"workload.parameters.{name}: {value!r}: sysbench's tests have no such parameter",
                remedy=f"known, with a number, on or off: {', '.join(PARAMETERS)}",
            )
        words.append(f"--{name}={text}")
    return words
