"""hey's command line, and its parser on outputs of 0.1.4 and 0.1.5, recorded with real web servers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchctl import loaders
from benchctl.errors import ParseError, SpecError
from benchctl.loaders import hey
from benchctl.model.experiment import Workload
from benchctl.model.measurement import LoaderResult, Window
from benchctl.spec import read_role
from benchctl.spec.share import shared
from benchctl.testing.loader_contract import edited

CASES = Path(__file__).parents[1] / "cases" / "loaders" / "hey"
WINDOW = Window(start=1000.0, end=1001.0)  # the recorded runs had a warm-up of half a second
DESCRIPTOR: dict[str, Any] = {"binaries": {"hey": "/opt/bin/hey"}, "env": {"LC_ALL": "C.UTF-8"}}


def workload(**options: Any) -> Workload:
    return Workload(role="hey", warmup=0.5, duration=1.5, options={"url": "http://x/", **options})


def parse(raw: Path) -> LoaderResult:
    return loaders.get("hey").parse(raw, WINDOW, workload(clients=4))


def rows(case: str) -> list[tuple[float, float, int]]:
    lines = (CASES / case / "stdout").read_text().splitlines()[1:]
    return [(float(a), float(b), int(c)) for a, b, c in map(str.split, lines)]


def test_a_recorded_output_is_cut_to_the_window() -> None:
    inside = [took for began, took, _ in rows("get") if 0.5 <= began + took <= 1.5]
    found = parse(CASES / "get")
    values = {name: quantity.value for name, quantity in found.metrics.items()}
    assert 0 < len(inside) < len(rows("get"))
    assert (values["throughput"], found.requests, found.errors) == (len(inside), len(inside), 0)
    assert values["latency_mean"] == pytest.approx(sum(inside) / len(inside) * 1000)
    assert values["latency_max"] == pytest.approx(max(inside) * 1000)
    assert values["latency_p50"] == pytest.approx(sorted(inside)[len(inside) // 2] * 1000, rel=0.05)
    assert values["latency_p999"] is None
    assert found.series["throughput"] == (float(len(inside)),)
    assert (found.open_loop, found.percentile_source, found.threads) == (False, "log", 4)


def test_samples_and_latencies_are_those_of_the_window() -> None:
    found = parse(CASES / "get")
    table = hey.samples(CASES / "get", WINDOW)
    completed = table["completed"].to_pylist()
    assert completed == sorted(completed)
    assert table.num_rows == len(hey.latencies(CASES / "get", WINDOW)["latency"]) == found.requests
    mean = sum(table["latency_ms"].to_pylist()) / table.num_rows
    assert mean == pytest.approx(found.metrics["latency_mean"].value)


def test_requests_without_a_response_are_errors() -> None:
    found = parse(CASES / "timeouts")
    assert found.errors == 97
    assert found.metrics["errors"].value == 97


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"results":777', '"results":1000777', "1000777 requests, but 777 responses and 0 errors"),
        ('"results":777', '"results":"777"', "stdout:1: unknown line"),
        ('{"warmup"', '{"warm"', "stdout:1: unknown line"),
        ('"errors":{}', '"errors":{', "stdout:1: not JSON"),
        ("0.014227878 0.009851681 200", "0,014227878 0,009851681 200", "stdout:2: unknown line"),
        ("0.014227878 0.009851681 200", "0.014227878 NaN 200", "stdout:2: unknown line"),
        ("0.014227878 0.009851681 200", "0.014227878 0.009851681", "stdout:2: unknown line"),
        ("0.014227878 0.009851681 200", "0.014227878 0.009.851681 200", "stdout:2: unknown line"),
        ("0.014227878 0.009851681 200", "-0.14227878 0.009851681 200", "stdout:2: unknown line"),
        ("0.014227878 0.009851681 200", "0.014227878 0.009851681 20", "stdout:2: unknown line"),
        ("0.014227878 0.009851681 200", "0.014227878 0.009851681 200\n", "stdout:3: unknown line"),
    ],
)
def test_a_changed_output_is_an_error_and_never_a_number(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises(ParseError, match=message):
        parse(edited(CASES / "get", tmp_path, old, new))


def test_the_command_has_the_workload() -> None:
    argv, env = hey.command(workload(rate=100, clients=8, method="POST", body="x=1"), DESCRIPTOR, None, 1)
    words = dict(zip(argv[1:-1:2], argv[2:-1:2], strict=True))
    assert (argv[0], argv[-1]) == ("/opt/bin/hey", "http://x/")
    assert {name: words[name] for name in ("-z", "-c", "-q", "-m", "-d")} == {
        "-z": "2s",
        "-c": "8",
        "-q": "12.5",
        "-m": "POST",
        "-d": "x=1",
    }
    assert words["-o"].startswith('{"warmup":0.5,')
    assert env == {"LC_ALL": "C.UTF-8"}


def test_a_path_is_one_of_the_system_under_test() -> None:
    target = {"host": "fd00::1", "port": 8080}
    assert hey.command(workload(url="/ping"), DESCRIPTOR, target, 1).argv[-1] == "http://[fd00::1]:8080/ping"
    for url, reach in (("/ping", None), ("ftp://x", target), ("", target)):
        with pytest.raises(SpecError, match="neither a URL"):
            hey.command(workload(url=url), DESCRIPTOR, reach, 1)


def test_the_roles_defaults_are_the_modules() -> None:
    role = read_role("hey", (shared("roles"),))
    assert {name: role.options[name].default for name in hey.DEFAULTS} == hey.DEFAULTS
    assert {metric.name for metric in role.metrics} == hey.names(workload())
