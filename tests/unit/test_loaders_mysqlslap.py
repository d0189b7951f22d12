"""mysqlslap's command line, and its parser on recorded outputs of MariaDB 10.5, 10.11 and 11.8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchctl import loaders
from benchctl.errors import ParseError, SpecError
from benchctl.loaders import mysqlslap
from benchctl.model.experiment import Workload
from benchctl.model.measurement import LoaderResult, Window
from benchctl.spec import read_role
from benchctl.spec.share import shared
from benchctl.testing.loader_contract import asked

CASES = Path(__file__).parents[1] / "cases" / "loaders"
WINDOW = Window(start=0.0, end=1.0)
OPTIONS = {"queries": 3000, "clients": 4, "rounds": 2}
DESCRIPTOR: dict[str, Any] = {
    "binaries": {"mariadb-slap": "/usr/bin/mariadb-slap"},
    "env": {"TZ": "UTC"},
    "mysql_options": "/c/mysql.cnf",
}


def workload(**options: Any) -> Workload:
    return Workload(role="mysqlslap", options=options)


def parse(raw: Path, **options: Any) -> LoaderResult:
    return loaders.get("mysqlslap").parse(raw, WINDOW, workload(**{**OPTIONS, **options}))


def test_a_recorded_output_gives_its_numbers() -> None:
    found = parse(CASES / "mysqlslap" / "read", test="read")
    assert {name: quantity.value for name, quantity in found.metrics.items()} == {
        "throughput": 3000 / 0.336,
        "latency_mean": 0.336 / 750 * 1000,
        "round_mean": 0.336,
        "round_min": 0.276,
        "round_max": 0.396,
        "errors": 0.0,
    }
    assert (found.requests, found.open_loop, found.percentile_source) == (6000, False, "loader")


@pytest.mark.parametrize("test", mysqlslap.TESTS)
def test_every_test_was_recorded(test: str) -> None:
    assert asked(CASES / "mysqlslap" / test)[0].options["test"] == test


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected one row"),
        (",read,0.336,0.276,0.396,4", "expected one row of 7 columns"),
        (",read,0.336,0.276,0.396,4,750\n" * 2, "expected one row"),
        (",read,0,336,0,276,0,396,4,750", "expected one row of 7 columns"),
        (",read,fast,0.276,0.396,4,750", "stdout:1: could not convert"),
        (",read,0.336,0.276,0.396,4,75", "of another run"),
        (",read,0.336,0.276,0.396,8,750", "of another run"),
        (",write,0.336,0.276,0.396,4,750", "of another run"),
        (",read,0.436,0.276,0.396,4,750", "a mean of 0.436 s outside"),
        (",read,nan,0.276,0.396,4,750", "a mean of nan s outside"),
        (",read,0.009,0.009,0.009,4,750", "give it more queries"),
    ],
)
def test_a_changed_output_is_an_error_and_never_a_number(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "stderr").touch()
    (tmp_path / "stdout").write_text(text)
    with pytest.raises(ParseError) as caught:
        parse(tmp_path, test="read")
    assert message in str(caught.value)


def test_a_missing_output_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParseError, match="stderr: not there"):
        parse(tmp_path)


def test_the_command_line_has_every_option_and_no_secret() -> None:
    target = {"protocol": "mysql", "socket": "/run/x/m.sock", "user": "bench", "database": "bench"}
    command = loaders.get("mysqlslap").command(workload(test="key", **OPTIONS), DESCRIPTOR, target, 7)
    assert " ".join(command.argv) == (
        "/usr/bin/mariadb-slap --no-defaults --socket=/run/x/m.sock --user=bench --csv --auto-generate-sql"
        " --auto-generate-sql-load-type=key --auto-generate-sql-guid-primary --number-of-queries=3000"
        " --concurrency=4 --iterations=2 --create-schema=mysqlslap_7"
    )
    assert command.env == {"TZ": "UTC", "LC_ALL": "C.UTF-8"}


def test_a_password_comes_from_a_file() -> None:
    target = {"protocol": "mysql", "host": "10.0.0.2", "port": 3306, "user": "bench", "database": "bench"}
    argv = loaders.get("mysqlslap").command(workload(), DESCRIPTOR, target, 7).argv
    assert argv[1:5] == ("--defaults-file=/c/mysql.cnf", "--host=10.0.0.2", "--port=3306", "--user=bench")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Workload(role="mysqlslap", warmup=1.0), "cannot leave out their beginning"),
        (workload(test="nonsense"), "there is no test"),
        (workload(queries=3, clients=4), "3 for 4 clients"),
    ],
)
def test_what_it_cannot_have_is_refused(given: Workload, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        loaders.get("mysqlslap").names(given)


@pytest.mark.parametrize("target", [None, {"protocol": "postgresql", "socket": "/run/x"}])
def test_a_system_is_needed_that_it_can_drive(target: dict[str, Any] | None) -> None:
    with pytest.raises(SpecError, match="drives a MariaDB"):
        loaders.get("mysqlslap").command(workload(), DESCRIPTOR, target, 7)


def test_the_role_says_the_same_defaults() -> None:
    options = read_role("mysqlslap", (shared("roles"),)).options
    assert {n: o.default for n, o in options.items() if o.scope == "run"} == mysqlslap.DEFAULTS
    assert options["test"].choices == mysqlslap.TESTS
