"""xb's command line, and its parser on recorded outputs of xb 1 and of Xephon-B 0.3.0."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from benchctl import loaders
from benchctl.errors import ParseError, SpecError
from benchctl.loaders import xephon_b
from benchctl.loaders.merge import Part, merge
from benchctl.model.experiment import Workload
from benchctl.model.measurement import LoaderResult, Window
from benchctl.spec import read_role
from benchctl.spec.share import shared
from benchctl.testing.loader_contract import edited

CASES = Path(__file__).parents[1] / "cases" / "loaders" / "xephon_b"
DESCRIPTOR: dict[str, Any] = {"binaries": {"xb": "/p/bin/xb"}, "env": {"TZ": "UTC"}, "version": "1"}
TARGET: dict[str, Any] = {"host": "10.0.0.2", "port": 8080}


def lines_of(case: str) -> list[list[str]]:
    return [line.split() for line in (CASES / case / "requests.log").read_text().splitlines()]


def whole(case: str) -> Window:
    first, last = (int(lines_of(case)[at][0]) / 1e6 for at in (0, -1))
    return Window(start=first - 1, end=last + 1)


LINES = lines_of("batches")
WHOLE = whole("batches")
SECOND = Window(start=WHOLE.start + 2, end=WHOLE.start + 3)


def workload(**options: Any) -> Workload:
    return Workload(role="xephon_b", warmup=1.0, duration=2.5, options=options)


def parse(raw: Path, window: Window = WHOLE) -> LoaderResult:
    return loaders.get("xephon_b").parse(raw, window, workload())


def values(found: LoaderResult) -> dict[str, float | None]:
    return {name: quantity.value for name, quantity in found.metrics.items()}


def test_the_whole_of_a_recorded_run_is_what_its_report_says() -> None:
    found = parse(CASES / "batches")
    assert found.version == "1"
    assert (found.requests, found.errors, found.percentile_source) == (730, 0, "log")
    metrics = values(found)
    assert metrics["points"] == 73_000
    assert metrics["throughput"] == pytest.approx(73_000 / WHOLE.seconds)
    assert metrics["latency_mean"] == pytest.approx(16.469768, abs=0.001)  # avgLatency
    assert metrics["latency_min"] == pytest.approx(0.919790, abs=0.001)
    assert metrics["latency_max"] == pytest.approx(210.770788, abs=0.001)
    assert metrics["latency_p95"] is not None
    assert metrics["latency_p99"] is None  # 730 requests carry none


def test_a_window_has_the_requests_that_completed_in_it() -> None:
    inside = [row for row in LINES if SECOND.start <= int(row[0]) / 1e6 < SECOND.end]
    found = parse(CASES / "batches", SECOND)
    assert found.requests == len(inside) > 100
    assert values(found)["throughput"] == sum(int(row[2]) for row in inside)
    assert list(found.series["throughput"]) == [sum(int(row[2]) for row in inside)]
    assert values(found)["points"] == 73_000  # of the whole run: what read-back has to find
    table = loaders.get("xephon_b").samples(CASES / "batches", SECOND)
    assert table is not None
    assert table.num_rows == len(inside)
    assert table["completed"].to_pylist() == sorted(table["completed"].to_pylist())


def test_two_hosts_have_percentiles_and_points_together() -> None:
    parts = [
        Part(case, CASES / case, whole(case), parse(CASES / case, whole(case)))
        for case in ("batches", "single")
    ]
    found = merge(loaders.get("xephon_b"), parts)
    assert values(found)["points"] == 73_000 + 2_902
    assert values(found)["latency_p99"] is not None
    assert found.requests == 730 + 2_902


def test_xephon_b_itself_says_what_its_whole_life_was() -> None:
    found = parse(CASES / "xephon-b-0.3.0")
    assert (found.requests, found.errors, found.percentile_source) == (6809, 0, "loader")
    metrics = values(found)
    assert metrics["throughput"] == pytest.approx(6809 / 5.000785976)
    assert metrics["latency_mean"] == pytest.approx(2.932926)
    assert metrics["latency_max"] == pytest.approx(84.694652)
    assert set(metrics) == xephon_b.names(workload(binary="/x/xb"))
    assert loaders.get("xephon_b").samples(CASES / "xephon-b-0.3.0", WHOLE) is None
    assert loaders.get("xephon_b").latencies(CASES / "xephon-b-0.3.0", WHOLE) == {}


def test_failed_requests_are_errors_and_no_points(tmp_path: Path) -> None:
    found, lines = parse(CASES / "failures", whole("failures")), lines_of("failures")
    failed = sum(row[4] == "failed" for row in lines)
    assert found.errors == failed > 0
    assert found.requests == len(lines)
    assert values(found)["points"] == sum(int(row[2]) for row in lines if row[4] == "ok")
    retries = values(found)["retries"]
    assert retries is not None
    assert retries >= 3 * failed


@pytest.mark.parametrize(
    ("case", "file", "old", "new", "message"),
    [
        ("batches", "stdout", "xb 1:", "xb one", "stdout:1: unknown line"),
        ("batches", "stdout", '"totalPoints"', '"points"', "stdout:2: other keys"),
        (
            "batches",
            "stdout",
            '"totalRequests":730',
            '"totalRequests":731',
            "730 requests, and the report 731",
        ),
        (
            "batches",
            "stdout",
            '"totalPoints":73000',
            '"totalPoints":72900',
            "73000 points, and the report 72900",
        ),
        ("batches", "stdout", '"totalPoints":73000', '"totalPoints":7.3', "totalPoints: 7.3 is no count"),
        ("batches", "stdout", '"retriedRequests":0', '"retriedRequests":1', "0 retried requests"),
        ("batches", "stdout", '"failedRequests":0', '"failedRequests":true', "True is no count"),
        ("batches", "stdout", '"totalRequests":730}', '"totalRequ', "stdout:2: no report"),
        ("batches", "stdout", '{"avg', 'goroutine 1\n{"avg', "stdout:2: unknown line: 'goroutine 1'"),
        ("batches", "requests.log", " ok\n", " OK\n", "requests.log:1: unknown line"),
        ("batches", "requests.log", " 100 0 ok\n", " 1,00 0 ok\n", "requests.log:1: unknown line"),
        ("batches", "requests.log", " 100 0 ok\n", " 100 ok\n", "requests.log:1: unknown line"),
        ("batches", "requests.log", " 100 0 ok\n", " 10 0 ok\n", "72910 points"),
        ("xephon-b-0.3.0", "stdout", "INFO 2026", "panic 2026", "stdout:1: unknown line"),
        ("xephon-b-0.3.0", "stdout", '"dataRatio":34,', "", "stdout:20: other keys"),
    ],
)
def test_a_changed_output_is_an_error_and_never_a_number(
    case: str, file: str, old: str, new: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ParseError, match=message):
        parse(edited(CASES / case, tmp_path, old, new, file))


@pytest.mark.parametrize("keep", [0, 1, 40, 1000, 20_000])
def test_requests_that_were_cut_are_noticed(keep: int, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(CASES / "batches", raw)
    data = (raw / "requests.log").read_bytes()
    assert keep < len(data)
    (raw / "requests.log").write_bytes(data[:keep])
    with pytest.raises(ParseError, match=r"requests\.log"):
        parse(raw)


@pytest.mark.parametrize("file", ["stdout", "stderr", "requests.log"])
def test_a_missing_file_is_named(file: str, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(CASES / "batches", raw)
    (raw / file).unlink()
    with pytest.raises(ParseError, match=f"{file}: not there"):
        parse(raw)


def test_what_it_says_beside_is_an_error(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(CASES / "batches", raw)
    (raw / "stderr").write_text("xb: no request succeeded\n")
    with pytest.raises(ParseError, match="stderr:1: unknown line"):
        parse(raw)


def test_the_command_line_has_every_option() -> None:
    command = loaders.get("xephon_b").command(workload(workers=2, value="random"), DESCRIPTOR, TARGET, 7)
    assert " ".join(command.argv) == (
        "/p/bin/xb run -addr http://10.0.0.2:8080 -duration 3.5s -series.prefix xb-7 -requests requests.log"
        " -seed 7 -worker.num 2 -batch.series 10 -batch.points 10 -series.num 10 -series.numTags 2"
        " -time.interval 0.001s -value.generator random -retries 3 -timeout 5s"
    )
    assert command.env == {"TZ": "UTC", "LC_ALL": "C.UTF-8"}


def test_xephon_b_gets_nothing_that_it_has_no_key_for() -> None:
    argv = loaders.get("xephon_b").command(workload(binary="/x/xb"), DESCRIPTOR, TARGET, 7).argv
    assert argv[argv.index("-binary") + 1] == "/x/xb"
    assert not {"-seed", "-retries", "-requests"} & set(argv)


def test_a_system_is_needed() -> None:
    with pytest.raises(SpecError, match="drives a KairosDB"):
        loaders.get("xephon_b").command(workload(), DESCRIPTOR, None, 7)


def test_the_role_says_the_same_defaults() -> None:
    options = read_role("xephon_b", (shared("roles"),)).options
    found = {name: option.default for name, option in options.items() if option.default is not None}
    assert found == xephon_b.DEFAULTS
