"""go-tpc's command line, and its parser on outputs of 1.0.12 that were recorded with PostgreSQL 18.6."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from benchctl import loaders
from benchctl.errors import ParseError, SpecError
from benchctl.loaders import go_tpc
from benchctl.model.experiment import Workload
from benchctl.model.measurement import LoaderResult, Window
from benchctl.spec import read_role
from benchctl.spec.share import shared
from benchctl.testing.loader_contract import edited

CASES = Path(__file__).parents[1] / "cases" / "loaders" / "go_tpc"
DESCRIPTOR: dict[str, Any] = {"binaries": {"go-tpc": "/opt/bin/go-tpc"}, "env": {"PGPASSFILE": "/x/pgpass"}}
TARGET: dict[str, Any] = {"protocol": "postgresql", "port": 54321, "user": "bench", "database": "postgres"}


def workload(**options: Any) -> Workload:
    warmup, duration = options.pop("warmup", 0.0), options.pop("duration", 5.0)
    return Workload(role="go_tpc", warmup=warmup, duration=duration, options=options)


def parse(raw: Path) -> LoaderResult:
    return loaders.get("go_tpc").parse(raw, Window(start=0.0, end=5.0), workload(clients=2))


def test_its_numbers_are_never_called_a_tpc_c_result() -> None:
    role = read_role("go_tpc", (shared("roles"),))
    found = parse(CASES / "two-clients")
    documented = {metric.name: metric for metric in role.metrics}
    assert set(found.metrics) == go_tpc.names(workload()) == set(documented)
    assert not [name for name in documented if "tpm" in name.lower() or "efficiency" in name]
    assert "not a TPC-C result" in documented["new_orders"].doc
    assert {name: quantity.unit for name, quantity in found.metrics.items()} == {
        name: metric.unit for name, metric in documented.items()
    }


def test_transactions_that_failed_are_counted_and_no_successes() -> None:
    found = parse(CASES / "deadlocks")
    assert found.errors == found.metrics["errors"].value == 2233
    assert found.requests == 2783


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"Operation":"PAYMENT"', '"Operation":"REFUND"', "stdout:1: unknown row"),
        ('"Avg(ms)"', '"Avg(us)"', "stdout:1: unknown row"),
        ('"Prefix":"[Summary] "', '"Prefix":"[Current] "', "stdout:7: unknown row"),
        ('"tpmC":"', '"tpmC":"9', "stdout:8: tpmC is 9"),
        ('"tpmTotal":"', '"tpmTotal":"9', "stdout:8: tpmTotal is 9"),
        ('"efficiency"', '"efficacy"', "stdout:8: unknown line"),
        ("Finished\n", "execute run failed, err pq: deadlock detected\nFinished\n", "stdout:6: unknown line"),
        ("Finished\n", "Finished\nFinished\n", "expected the summary and one more line"),
        ('"Count":"', '"Count":1,"x":"', "stdout:1: unknown line: .*got `int`"),
    ],
)
def test_a_changed_output_is_an_error_and_never_a_number(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises(ParseError, match=message):
        parse(edited(CASES / "two-clients", tmp_path, old, new))


def test_the_command_reaches_a_socket_or_an_address() -> None:
    argv, env = go_tpc.command(workload(duration=2.5), DESCRIPTOR, {**TARGET, "socket": "{runtime}"}, 1)
    words = dict(pairwise(argv))
    assert argv[:3] == ("/opt/bin/go-tpc", "tpcc", "run")
    assert (words["--targets"], words["--conn-params"]) == (":54321", "sslmode=disable&host={runtime}")
    assert (words["--time"], words["--threads"], words["--warehouses"]) == ("2.5s", "8", "10")
    assert env == {"PGPASSFILE": "/x/pgpass", "LC_ALL": "C.UTF-8"}
    argv, _ = go_tpc.prepare({"warehouses": 3}, DESCRIPTOR, {**TARGET, "host": "fd00::1"}, 1)
    words = dict(pairwise(argv))
    assert argv[:3] == ("/opt/bin/go-tpc", "tpcc", "prepare")
    assert (words["--host"], words["--port"], words["--warehouses"]) == ("[fd00::1]", "54321", "3")
    assert "--targets" not in argv


def test_what_it_cannot_do_is_refused() -> None:
    for target in (None, {"protocol": "mysql"}):
        with pytest.raises(SpecError, match="drives a PostgreSQL"):
            go_tpc.command(workload(), DESCRIPTOR, target, 1)
    with pytest.raises(SpecError, match=r"workload\.warmup"):
        go_tpc.names(workload(warmup=1.0))


def test_the_roles_defaults_are_the_modules() -> None:
    options = read_role("go_tpc", (shared("roles"),)).options
    assert {name: one.default for name, one in options.items() if one.scope != "install"} == go_tpc.DEFAULTS
