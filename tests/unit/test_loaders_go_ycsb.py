"""go-ycsb's command line, and its parser on outputs of 1.0.1 that were recorded with real servers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchctl import loaders
from benchctl.errors import ParseError, SpecError
from benchctl.loaders import go_ycsb
from benchctl.model.experiment import Workload
from benchctl.model.measurement import LoaderResult, Window
from benchctl.spec import read_role
from benchctl.spec.share import shared
from benchctl.testing.loader_contract import asked, edited, recorded

CASES = Path(__file__).parents[1] / "cases" / "loaders" / "go_ycsb"
WINDOW = Window(start=0.0, end=1.0)
DESCRIPTOR: dict[str, Any] = {"binaries": {"go-ycsb": "/opt/bin/go-ycsb"}, "env": {"PGPASSFILE": "/x/pgpass"}}
REDIS: dict[str, Any] = {"protocol": "redis", "socket": "{runtime}/redis.sock", "port": 6379}
POSTGRESQL: dict[str, Any] = {
    "protocol": "postgresql",
    "port": 54321,
    "user": "bench",
    "database": "postgres",
}
RECORDED = {case.name: dict(asked(case)[0].options) for case in recorded(CASES.parent, "go_ycsb")}


def workload(**options: Any) -> Workload:
    warmup = options.pop("warmup", 0.0)
    return Workload(role="go_ycsb", warmup=warmup, options=options)


def parse(raw: Path, **options: Any) -> LoaderResult:
    return loaders.get("go_ycsb").parse(raw, WINDOW, workload(**options))


def values(found: LoaderResult) -> dict[str, float | None]:
    return {name: quantity.value for name, quantity in found.metrics.items()}


@pytest.mark.parametrize("case", RECORDED)
def test_a_run_gives_the_metrics_that_were_promised(case: str) -> None:
    found = parse(CASES / case, **RECORDED[case])
    assert set(found.metrics) == go_ycsb.names(workload(**RECORDED[case]))
    documented = {metric.name: metric.unit for metric in read_role("go_ycsb", (shared("roles"),)).metrics}
    assert {name: quantity.unit for name, quantity in found.metrics.items()}.items() <= documented.items()


def test_what_is_read_to_be_updated_counts_as_two_requests() -> None:
    found = parse(CASES / "f-postgresql", **RECORDED["f-postgresql"])
    assert found.requests == 30_114
    assert values(found)["read_modify_write_latency_p99"] == 13.671
    assert sum(value or 0 for value in found.series["throughput"]) == 29_330  # the last report came later


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("OPS: 37613.1", "OPS: 37613,1", "stdout:26: unknown line"),
        ("OPS: 37613.1", "OPS: NaN", "stdout:26: unknown line"),
        ("Avg(us): 103,", "Avg(ms): 103,", "stdout:26: unknown line"),
        (
            "TOTAL  - Takes(s): 1.3, Count: 50000",
            "TOTAL  - Takes(s): 1.3, Count: 50001",
            "are 50000, and 50001",
        ),
        (
            "READ   - Takes(s): 1.3, Count: 24998",
            "READ   - Takes(s): 1.3, Count: 24997",
            "are 49999, and 50000",
        ),
        (
            "READ   - Takes(s): 1.0, Count: 19136",
            "READ   - Takes(s): 1.0, Count: 99136",
            "less than the one before",
        ),
        ("READ   - Takes(s): 1.3", "PEEK   - Takes(s): 1.3", "stdout:25: unknown line"),
        ("Run finished, takes 2.329132817s", "operation err: EOF", "stdout:23: unknown line"),
        ('"threadcount"="4"', "threadcount 4", "stdout:16: unknown line"),
    ],
)
def test_a_changed_output_is_an_error_and_never_a_number(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises(ParseError, match=message):
        parse(edited(CASES / "a-redis", tmp_path, old, new), **RECORDED["a-redis"])


def test_fewer_operations_than_wanted_are_an_error() -> None:
    with pytest.raises(ParseError, match="50000 operations of 60000 are reported"):
        parse(CASES / "a-redis", workload="a", operations=60_000, clients=4)


def test_errors_are_counted_and_not_part_of_the_throughput(tmp_path: Path) -> None:
    last = "READ   - Takes(s): 1.3, Count: 24998"
    failed = "READ_ERROR - Takes(s): 1.3, Count: 12, OPS: 9.0, Avg(us): 1, Min(us): 1, Max(us): 1"
    rest = ", ".join(f"{name}(us): 1" for name in ("50th", "90th", "95th", "99th", "99.9th", "99.99th"))
    raw = edited(
        CASES / "a-redis", tmp_path, "TOTAL  - Takes(s): 1.3", f"{failed}, {rest}\nTOTAL  - Takes(s): 1.3"
    )
    assert last in (raw / "stdout").read_text()
    found = parse(raw, workload="a", operations=50_012, clients=4)
    assert (found.errors, found.requests, values(found)["throughput"]) == (12, 50_012, 37613.1)


def properties(argv: tuple[str, ...]) -> dict[str, str]:
    return dict(word.split("=", 1) for word in argv if "=" in word)


def test_the_command_is_the_workload_over_a_socket() -> None:
    argv, env = go_ycsb.command(
        workload(workload="e", rate=500, warmup=2.0), DESCRIPTOR, {**POSTGRESQL, "socket": "{runtime}"}, 1
    )
    assert argv[:3] == ("/opt/bin/go-ycsb", "run", "pg")
    found = properties(argv)
    assert (found["scanproportion"], found["readproportion"], found["updateproportion"]) == ("0.95", "0", "0")
    assert (found["target"], found["warmuptime"], found["operationcount"]) == ("500", "2", "100000")
    assert found["pg.sslmode"] == "disable&host={runtime}"
    assert found["pg.host"] == ""  # else it wins
    assert found["debug.pprof"] == "127.0.0.1:0"
    assert env == {"PGPASSFILE": "/x/pgpass", "LC_ALL": "C.UTF-8"}


def test_the_command_reaches_other_hosts_by_their_address() -> None:
    redis = {"protocol": "redis", "host": "fd00::1", "port": 7000}
    argv, _ = go_ycsb.command(workload(distribution="uniform"), DESCRIPTOR, redis, 1)
    assert properties(argv)["redis.addr"] == "[fd00::1]:7000"
    assert properties(argv)["requestdistribution"] == "uniform"
    argv, _ = go_ycsb.prepare({"records": 10}, DESCRIPTOR, {**POSTGRESQL, "host": "10.0.0.1"}, 1)
    assert argv[:3] == ("/opt/bin/go-ycsb", "load", "pg")
    assert (properties(argv)["pg.host"], properties(argv)["pg.sslmode"]) == ("10.0.0.1", "disable")
    assert properties(argv)["recordcount"] == "11"


@pytest.mark.parametrize(
    ("options", "target", "message"),
    [
        ({"workload": "g"}, REDIS, "there is no workload 'g'"),
        ({"workload": "e"}, REDIS, "cannot scan a Redis"),
        ({"operations": 3, "clients": 4}, REDIS, "fewer than clients"),
        ({"warmup": 1.5}, REDIS, "whole seconds"),
        ({"workload": "e"}, {"protocol": "cassandra"}, "cannot scan a Cassandra"),
        ({}, None, "no client for this system"),
        ({}, {"protocol": "memcached"}, "no client for this system"),
        ({}, {"protocol": "mysql", "socket": "{runtime}/x.sock", "port": 1}, "over TCP only"),
    ],
)
def test_what_it_cannot_do_is_refused(
    options: dict[str, Any], target: dict[str, Any] | None, message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        go_ycsb.command(workload(**options), DESCRIPTOR, target, 1)


def test_the_roles_defaults_are_the_modules() -> None:
    options = read_role("go_ycsb", (shared("roles"),)).options
    assert {name: options[name].default for name in go_ycsb.DEFAULTS} == go_ycsb.DEFAULTS
    assert options["workload"].choices == tuple(go_ycsb.WORKLOADS)


def test_a_password_is_in_no_argument() -> None:
    target = {"protocol": "mysql", "host": "fd00::1", "port": 53306, "user": "bench", "database": "bench"}
    become = ["/usr/bin/python3", "/x/with_password.py", "BENCH_MYSQL_PASSWORD", "/x/mysql-password"]
    argv, _ = go_ycsb.command(workload(), {**DESCRIPTOR, "with_password": become}, target, 1)
    assert argv[:7] == (*become, "/opt/bin/go-ycsb", "run", "mysql")
    found = properties(argv)
    assert found["mysql.password"] == "${BENCH_MYSQL_PASSWORD}"
    assert (found["mysql.host"], found["mysql.port"], found["mysql.db"]) == ("[fd00::1]", "53306", "bench")


@pytest.mark.parametrize(
    ("target", "database", "name", "value"),
    [
        ({"protocol": "mongodb"}, "mongodb", "mongodb.url", "mongodb://10.0.0.1:7000/?w=1"),
        ({"protocol": "cassandra", "keyspace": "bench"}, "cassandra", "cassandra.cluster", "10.0.0.1:7000"),
        ({"protocol": "cassandra", "keyspace": "bench"}, "cassandra", "cassandra.keyspace", "bench"),
    ],
)
def test_systems_without_users_are_reached_by_their_address(
    target: dict[str, Any], database: str, name: str, value: str
) -> None:
    argv, _ = go_ycsb.command(workload(), DESCRIPTOR, {**target, "host": "10.0.0.1", "port": 7000}, 1)
    assert argv[:3] == ("/opt/bin/go-ycsb", "run", database)
    assert [word for word in argv if word.startswith(f"{name}=")] == [f"{name}={value}"]


@pytest.mark.parametrize("protocol", ["etcd", "mongodb", "redis"])
def test_it_fills_the_record_after_the_last_one_too(protocol: str) -> None:
    target = {"protocol": protocol, "host": "127.0.0.1", "port": 53379}
    argv = loaders.get("go_ycsb").prepare({"records": 500}, DESCRIPTOR, target, 7).argv  # type: ignore[union-attr]
    assert "recordcount=501" in argv
