"""sysbench's command line; its parser on recorded outputs of 1.0.20 on PostgreSQL 18 and MariaDB 10.11."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchctl import loaders
from benchctl.errors import ParseError, SpecError
from benchctl.loaders import Part, merge, sysbench
from benchctl.model.experiment import Workload
from benchctl.model.measurement import LoaderResult, Window
from benchctl.spec import read_role
from benchctl.spec.share import shared
from benchctl.testing.loader_contract import asked, edited

CASES = Path(__file__).parents[1] / "cases" / "loaders"
DESCRIPTOR: dict[str, Any] = {
    "binaries": {"sysbench": "/usr/bin/sysbench"},
    "env": {"PGPASSFILE": "/c/pgpass"},
    "mysql_options": "/c/mysql.cnf",
}
SOCKET: dict[str, Any] = {
    "protocol": "mysql",
    "socket": "/run/x/m.sock",
    "user": "bench",
    "database": "bench",
}
GOOD = sorted((CASES / "sysbench").iterdir())


def workload(warmup: float = 0, duration: float = 3, **options: Any) -> Workload:
    return Workload(role="sysbench", warmup=warmup, duration=duration, options=options)


def parse(case: str, folder: Path | None = None) -> LoaderResult:
    recorded = CASES / "sysbench" / case
    wanted, window = asked(recorded)
    return loaders.get("sysbench").parse(folder or recorded, window, wanted)


def values(result: LoaderResult) -> dict[str, float | None]:
    return {name: quantity.value for name, quantity in result.metrics.items()}


def test_only_what_came_after_the_warm_up_counts() -> None:
    found = parse("pgsql-read-write")
    assert values(found) == pytest.approx(
        {
            "throughput": 553 / (5.0089 - 2.0002),
            "queries": 11108 / (5.0089 - 2.0002),
            "latency_mean": 6013.83 / 553,
            "latency_min": 0.98,
            "latency_max": 1023.95,
            "errors": 0.0,
            "retries": 3.0,
            "latency_p50": 5.57,
            "latency_p95": 19.645,
            "latency_p99": None,
            "latency_p999": None,
        }
    )
    assert (found.requests, found.errors, found.threads, found.version) == (553, 0, 2, "1.0.20")
    assert (found.open_loop, found.percentile_source) == (False, "histogram")


def test_the_seconds_of_the_window_are_a_series() -> None:
    assert parse("pgsql-read-write").series == {"throughput": (277.2, 1.99, 272.74)}
    assert parse("mysql-no-warmup").series == {"throughput": (209.79, 335.09, 337.0)}
    last = parse("pgsql-point-select").series["throughput"]
    assert (len(last), last[0], last[-1]) == (11, 26823.97, None)  # sysbench was silent in its last second


def test_a_second_that_was_told_twice_or_late_has_no_value(tmp_path: Path) -> None:
    raw = edited(CASES / "sysbench" / "pgsql-read-write", tmp_path, "[ 4s ] thds", "[ 5s ] thds")
    assert parse("pgsql-read-write", raw).series["throughput"] == (277.2, None, None)


def test_with_a_rate_the_loop_is_open() -> None:
    assert parse("mysql-rate").open_loop
    assert not parse("mysql-read-write").open_loop


def test_conflicts_are_repeated_and_counted_as_retries() -> None:
    found = parse("pgsql-conflicts")
    assert (values(found)["retries"], found.errors, found.requests) == (27, 0, 30)


def test_percentiles_come_from_the_histogram_as_sysbench_takes_them() -> None:
    found = values(parse("pgsql-point-select"))
    assert found["latency_p99"] == pytest.approx(2.11, abs=0.01)  # what sysbench printed


def test_histograms_of_several_hosts_are_merged() -> None:
    loader = loaders.get("sysbench")
    window = Window(start=0.0, end=3.0)
    parts = [
        Part(case, CASES / "sysbench" / case, window, parse(case))
        for case in ("pgsql-read-write", "mysql-read-write")
    ]
    merged = merge(loader, parts)
    both = np.concatenate([loader.latencies(part.raw, window)["latency"] for part in parts])
    assert len(both) == 553 + 985 == merged.requests
    assert merged.metrics["latency_p99"].value == pytest.approx(np.quantile(both, 0.99) / 1000)
    assert merged.metrics["throughput"].value == sum(
        part.result.metrics["throughput"].value or 0 for part in parts
    )
    assert merged.series["throughput"][0] == pytest.approx(277.2 + 359.6)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sysbench 1.0.20 (using", "sysbench 1.0.20-4 mended (using", "stdout:1: unknown line"),
        ("General statistics:", "Common statistics:", "unknown line: 'Common statistics:'"),
        ("General statistics:", "Allgemeine Zahlen:\nGeneral statistics:", "unknown line"),
        ("10.87\n", "10,87\n", "unknown line: '         avg: +10,87'"),
        ("         avg:", "        avg :", "unknown line"),
        ("         sum:                                 6013.83\n", "", "lacks sum"),
        ("553\n", "533\n", "553 transactions in 533 events"),
        ("7781\n", "7782\n", "11109 statements in 11108 queries"),
        ("6013.83", "6033.83", "a mean of 10.87 ms where the sum gives 10.91"),
        ("(183.80 per sec.)", "(193.80 per sec.)", "193.8/s where 183.80/s were counted"),
        ("5.0089s", "9.0089s", "183.8/s where 78.90/s were counted"),
        ("30.81\n", "31.81\n", "a 99th percentile of 31.81 ms that is not the histogram's"),
        ("* 12\n", "* 112\n", "653 in the histogram of 553 transactions"),
        ("5.570 |****", "5.570 ****", "unknown line"),
        ("Threads started!\n", "", "lacks began"),
        ("Report checkpoint(s) at 2 seconds\n", "", "report of the warm-up"),
        ("Report checkpoint(s) at 2 seconds", "Report checkpoint(s) at 1 seconds", "of another run"),
        ("Number of threads: 2", "Number of threads: 4", "a mean of"),
        ("Number of threads: 2", "Number of threads: 2\nTarget transaction rate: 5/sec", "of another run"),
        ("    total time:", "    total time:    5.0089s\n    total time:", "a second time"),
    ],
)  # fmt: skip
def test_a_changed_output_is_an_error_and_never_a_number(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ParseError, match=message):
        parse("pgsql-read-write", edited(CASES / "sysbench" / "pgsql-read-write", tmp_path, old, new))


@pytest.mark.parametrize("case", ["pgsql-read-write", "mysql-no-warmup"])
def test_an_output_that_was_cut_anywhere_is_an_error(case: str, tmp_path: Path) -> None:
    whole = (CASES / "sysbench" / case / "stdout").read_bytes()
    (tmp_path / "stderr").touch()
    last = len(whole.rstrip()) - len("0.00")  # a cut in the very last figure leaves it well-formed
    for length in (*range(0, last, 97), last):
        (tmp_path / "stdout").write_bytes(whole[:length])
        with pytest.raises(ParseError):
            parse(case, tmp_path)


def test_a_missing_output_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParseError, match="stderr: not there"):
        parse("mysql-rate", tmp_path)


def test_a_histogram_that_lost_a_bucket_is_an_error(tmp_path: Path) -> None:
    lines = (CASES / "sysbench" / "mysql-no-warmup" / "stdout").read_text().split("\n")
    at = next(number for number, line in enumerate(lines) if "|****" in line)
    (tmp_path / "stderr").touch()
    (tmp_path / "stdout").write_text("\n".join(lines[:at] + lines[at + 1 :]))
    with pytest.raises(ParseError, match="in the histogram of"):
        parse("mysql-no-warmup", tmp_path)


def test_the_command_line_has_every_option_and_no_secret() -> None:
    given = workload(
        5,
        20,
        test="oltp_read_only",
        threads=8,
        tables=4,
        table_size=100,
        rate=50,
        parameters={"range_size": 10, "skip_trx": True},
    )
    command = loaders.get("sysbench").command(given, DESCRIPTOR, SOCKET, 0)
    assert " ".join(command.argv) == (
        "/usr/bin/sysbench oltp_read_only --db-driver=mysql --mysql-user=bench --mysql-db=bench"
        " --mysql-socket=/run/x/m.sock --tables=4 --table_size=100 --threads=8 --time=25 --report-interval=1"
        " --histogram=on --percentile=99 --report-checkpoints=5 --rate=50 --range_size=10 --skip_trx=on"
        " --rand-seed=1 run"
    )
    assert command.env == {"PGPASSFILE": "/c/pgpass", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def test_a_password_comes_from_a_file() -> None:
    target = {"protocol": "mysql", "host": "10.0.0.2", "port": 3306, "user": "bench", "database": "bench"}
    argv = loaders.get("sysbench").command(workload(), DESCRIPTOR, target, 7).argv
    assert argv[2:8] == (
        "--db-driver=mysql",
        "--config-file=/c/mysql.cnf",
        "--mysql-user=bench",
        "--mysql-db=bench",
        "--mysql-host=10.0.0.2",
        "--mysql-port=3306",
    )


@pytest.mark.parametrize(
    ("reach", "host"),
    [({"socket": "/run/x", "host": "10.0.0.2"}, "/run/x"), ({"host": "10.0.0.2"}, "10.0.0.2")],
)
def test_a_postgresql_is_reached_by_its_folder_or_its_address(reach: dict[str, str], host: str) -> None:
    target = {"protocol": "postgresql", "port": 54321, "user": "bench", "database": "postgres", **reach}
    argv = loaders.get("sysbench").command(workload(), DESCRIPTOR, target, 7).argv
    assert argv[2:7] == (
        "--db-driver=pgsql",
        "--pgsql-user=bench",
        "--pgsql-db=postgres",
        f"--pgsql-host={host}",
        "--pgsql-port=54321",
    )


def test_prepare_fills_the_tables() -> None:
    command = sysbench.prepare({"tables": 2, "table_size": 50}, DESCRIPTOR, SOCKET, 7)
    assert command.argv[1] == "oltp_read_write"
    assert command.argv[-4:] == ("--tables=2", "--table_size=50", "--rand-seed=7", "prepare")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (workload(warmup=0.5), "workload.warmup: 0.5s: sysbench counts in whole seconds"),
        (workload(duration=2.5), "workload.duration: 2.5s"),
        (workload(test="oltp_nonsense"), "there is no test 'oltp_nonsense'"),
        (workload(parameters={"time": 1}), "workload.parameters.time: 1: .* no such parameter"),
        (workload(parameters={"range_size": "1 --debug"}), "no such parameter"),
        (workload(parameters=[1]), "is no mapping"),
    ],
)
def test_what_it_cannot_have_is_refused(given: Workload, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        loaders.get("sysbench").names(given)


@pytest.mark.parametrize("target", [None, {"socket": "/run/x/redis.sock", "port": 1}])
def test_a_system_is_needed_that_it_can_drive(target: dict[str, Any] | None) -> None:
    with pytest.raises(SpecError, match="drives a PostgreSQL or a MariaDB"):
        loaders.get("sysbench").command(workload(), DESCRIPTOR, target, 7)


def test_the_role_offers_the_same_tests() -> None:
    options = read_role("sysbench", (shared("roles"),)).options
    assert options["test"].choices == sysbench.TESTS
