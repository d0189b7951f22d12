"""redis-benchmark's command line, and its parser on recorded outputs of 7.0 and 8.0."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from benchctl import loaders
from benchctl.errors import ParseError, SpecError
from benchctl.loaders import redis_benchmark
from benchctl.model.experiment import Workload
from benchctl.model.measurement import LoaderResult, Window
from benchctl.spec import read_role
from benchctl.spec.share import shared
from benchctl.testing.loader_contract import edited

CASES = Path(__file__).parents[1] / "cases" / "loaders" / "redis_benchmark"
WINDOW = Window(start=0.0, end=1.0)
DESCRIPTOR: dict[str, Any] = {
    "binaries": {"redis-benchmark": "/usr/bin/redis-benchmark", "redis-cli": "/usr/bin/redis-cli"},
    "env": {"TZ": "UTC"},
}
TARGET: dict[str, Any] = {"socket": "/run/x/redis.sock"}


def workload(**options: Any) -> Workload:
    return Workload(role="redis_benchmark", options=options)


def parse(raw: Path, **options: Any) -> LoaderResult:
    return loaders.get("redis_benchmark").parse(raw, WINDOW, workload(**options))


def test_percentiles_need_enough_requests() -> None:
    metrics = parse(CASES / "get-threads", requests=999).metrics
    assert metrics["latency_p99"].value is None
    assert metrics["latency_p95"].value == 0.199


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"rps"', '"qps"', "stdout:1: unknown head"),
        ('"70821.53"', '"nan"', "no measurement"),
        ('"70821.53"', '"0.00"', "no measurement"),
        ('"70821.53"', '"fast"', "stdout:2: could not convert"),
        ('"SET","70821.53","0.440"', '"SET","70821.53"', "expected one row"),
        ('"SET"', '"SET","1","1","1","1","1","1","1"\n"GET"', "expected one row, there are 2"),
    ],
)
def test_a_changed_output_is_an_error_and_never_a_number(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ParseError, match=message):
        parse(edited(CASES / "set", tmp_path, old, new))


def test_an_empty_or_missing_output_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParseError, match="stderr: not there"):
        parse(tmp_path)
    (tmp_path / "stderr").touch()
    (tmp_path / "stdout").touch()
    with pytest.raises(ParseError, match="unknown head"):
        parse(tmp_path)


def test_a_server_that_hides_its_settings_is_no_failure(tmp_path: Path) -> None:
    shutil.copy(CASES / "set" / "stdout", tmp_path)
    (tmp_path / "stderr").write_text("WARNING: Could not fetch server CONFIG\n")
    assert parse(tmp_path).metrics["throughput"].value == 70821.53


def test_the_command_line_has_every_option_and_no_secret() -> None:
    command = loaders.get("redis_benchmark").command(
        workload(test="set", requests=5000, clients=8, pipeline=4, threads=2, keyspace=10, data_size=64),
        DESCRIPTOR,
        TARGET,
        7,
    )
    assert " ".join(command.argv) == (
        "/usr/bin/redis-benchmark -s /run/x/redis.sock --csv -t set -n 5000 -c 8 -P 4 -r 10 -d 64 --threads 2"
    )
    assert command.env == {"TZ": "UTC", "LC_ALL": "C.UTF-8"}


def test_a_server_on_another_host_is_reached_by_its_address() -> None:
    target = {"host": "10.0.0.2", "port": 6379}
    argv = loaders.get("redis_benchmark").command(workload(), DESCRIPTOR, target, 7).argv
    assert argv[1:5] == ("-h", "10.0.0.2", "-p", "6379")


def test_prepare_fills_the_keys_that_the_tests_draw() -> None:
    command = redis_benchmark.prepare({"keyspace": 10, "data_size": 64}, DESCRIPTOR, TARGET, 7)
    assert command.argv[:4] == ("/usr/bin/redis-cli", "-s", "/run/x/redis.sock", "EVAL")
    assert command.argv[5:] == ("0", "10", "64")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Workload(role="redis_benchmark", warmup=1.0), "cannot leave out its beginning"),
        (workload(test="ping,set"), "there is no test"),
        (workload(test="-a secret"), "there is no test"),
    ],
)
def test_what_it_cannot_have_is_refused(given: Workload, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        loaders.get("redis_benchmark").names(given)


def test_a_system_is_needed() -> None:
    with pytest.raises(SpecError, match="drives a Redis"):
        loaders.get("redis_benchmark").command(workload(), DESCRIPTOR, None, 7)


def test_the_role_says_the_same_defaults() -> None:
    options = read_role("redis_benchmark", (shared("roles"),)).options
    assert {
        name: one.default for name, one in options.items() if one.scope != "install"
    } == redis_benchmark.DEFAULTS
    assert options["test"].choices == redis_benchmark.TESTS


@pytest.mark.parametrize(
    ("test", "reply"),
    [
        ("get", "$2\r\nxx\r\n"),
        ("lpop", "$2\r\nxx\r\n"),
        ("set", "+OK\r\n"),
        ("ping_mbulk", "+PONG\r\n"),
        ("spop", "$-1\r\n"),
        ("incr", ":1\r\n"),
    ],
)
def test_the_null_target_answers_as_a_redis_would(test: str, reply: str) -> None:
    found = redis_benchmark.null_run(workload(test=test, data_size=2), DESCRIPTOR, TARGET, "/rt")
    assert found.against == {
        "protocol": "redis",
        "reply": reply,
        "threads": 1,
        "socket": "/rt/null-target.sock",
    }


def test_a_null_run_is_the_same_load_for_about_a_second() -> None:
    options = {"clients": 7, "pipeline": 4, "threads": 2, "requests": 10**9}
    found = redis_benchmark.null_run(workload(**options), DESCRIPTOR, {"host": "db", "port": 6379}, "/rt")
    argv = redis_benchmark.command(found.workload, DESCRIPTOR, found.target, 0).argv
    assert argv[1:6] == ("-h", "127.0.0.1", "-p", "{port}", "--csv")
    assert argv[argv.index("-n") + 1] == "800000"
    assert argv[argv.index("-c") + 1] == "7"
    assert "socket" not in found.against
