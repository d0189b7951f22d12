"""pgbench's command line, and its parser on recorded outputs of PostgreSQL 13 to 18.

A case in tests/cases/loaders/pgbench is a raw folder with window.json and expected.json (computed apart from
the parser, in plain Python). pgbench-edited holds changes to a good case.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from benchctl import loaders
from benchctl.errors import ParseError, SpecError, UsageError
from benchctl.loaders import _pgbench_log
from benchctl.model.experiment import Workload
from benchctl.model.measurement import LoaderResult, Window
from benchctl.testing.loader_contract import edited
from tests.perf import parse_log

CASES = Path(__file__).parents[1] / "cases" / "loaders"
GOOD = sorted((CASES / "pgbench").iterdir())
EDITED = sorted((CASES / "pgbench-edited").iterdir())
DESCRIPTOR: dict[str, Any] = {
    "binaries": {"pgbench": "/opt/pg/bin/pgbench"},
    "env": {"LD_LIBRARY_PATH": "/opt"},
}
TARGET: dict[str, Any] = {"socket": "/run/x", "port": 5432, "user": "bench", "database": "db"}
ALWAYS = Window(start=parse_log.START, end=parse_log.START + 86_400.0)


def parse(raw: Path, window: Window | None = None) -> LoaderResult:
    found = window or msgspec.json.decode((raw / "window.json").read_bytes(), type=Window)
    return loaders.get("pgbench").parse(raw, found, Workload(role="pgbench"))


def workload(**options: Any) -> Workload:
    return Workload(role="pgbench", warmup=1.5, duration=2.0, options=options)


def argv(**options: Any) -> tuple[str, ...]:
    return loaders.get("pgbench").command(workload(**options), DESCRIPTOR, TARGET, 7).argv


@pytest.mark.parametrize(
    "header",
    [
        "pgbench (18.6, server 15.18 (Debian 15.18-0+deb12u1))",
        "pgbench (15.18 (Debian 15.18-0+deb12u1), server 18.6)",
        "pgbench (18.6, server 19devel)",
    ],
)
def test_a_server_of_another_version_than_pgbench_changes_nothing(header: str, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(CASES / "pgbench" / "18-rate", raw)
    text = (raw / "stdout").read_text()
    assert text.startswith("pgbench (18.6)\n")
    (raw / "stdout").write_text(text.replace("pgbench (18.6)", header, 1))
    found = parse(raw)
    assert found.version == header.removeprefix("pgbench (").split(",")[0].split(" ")[0]
    assert found.metrics == parse(CASES / "pgbench" / "18-rate").metrics


@pytest.mark.parametrize(
    ("case", "file", "old", "new", "message"),
    [
        ("13-closed", "stdout", "(including connections", "(without connections", "stdout:10: unknown line"),
        ("13-closed", "stderr", "stddev 12.367", "stddev 12.367, 0 failed", "is of another pgbench"),
        ("17-closed", "stdout", "number of failed transactions: 0 (0.000%)\n", "", "lacks failed"),
        ("17-closed", "stderr", ", 0 failed", "", "is of another pgbench"),
    ],
)  # fmt: skip
def test_each_version_has_its_own_form(
    case: str, file: str, old: str, new: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ParseError, match=message):
        parse(edited(CASES / "pgbench" / case, tmp_path, old, new, file), ALWAYS)


@pytest.mark.parametrize("case", EDITED, ids=lambda case: case.stem)
def test_a_changed_output_is_an_error_and_never_a_number(case: Path, tmp_path: Path) -> None:
    edit = json.loads(case.read_text())
    raw = tmp_path / "raw"
    shutil.copytree(CASES / "pgbench" / edit["base"], raw)
    text = (raw / edit["file"]).read_text()
    if "cut" in edit:
        changed = text[: edit["cut"]]
    else:
        assert edit["replace"][0] in text
        changed = text.replace(*edit["replace"], 1)
    (raw / edit["file"]).write_text(changed)
    with pytest.raises(ParseError) as caught:
        parse(raw)
    assert edit["error"] in str(caught.value)


def test_raw_files_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(ParseError, match="stderr: not there"):
        parse(tmp_path, ALWAYS)
    case = next(case for case in GOOD if case.name == "18-closed")
    for name in ("stdout", "stderr"):
        shutil.copy(case / name, tmp_path)
    with pytest.raises(ParseError, match=r"no transaction log"):
        parse(tmp_path, ALWAYS)


@pytest.mark.parametrize("size", [100, 1000, 4096])
def test_blocks_of_any_size_give_the_same(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    case = next(case for case in GOOD if case.name == "16-skipped")
    whole = parse(case)
    monkeypatch.setattr(_pgbench_log, "BLOCK_BYTES", size)
    assert parse(case) == whole


def test_a_line_longer_than_a_block_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parse_log.write_raw(tmp_path, 10)
    monkeypatch.setattr(_pgbench_log, "BLOCK_BYTES", 8)
    with pytest.raises(ParseError, match="the last line was cut"):
        parse(tmp_path, ALWAYS)


def test_the_window_is_closed_at_its_start_and_open_at_its_end(tmp_path: Path) -> None:
    parse_log.write_raw(tmp_path, 2 * parse_log.RATE)  # two seconds
    start = float(parse_log.START)
    assert parse(tmp_path, Window(start=start, end=start + 1)).requests == parse_log.RATE
    found = parse(tmp_path, Window(start=start + 0.5, end=start + 1.75))
    assert found.requests == parse_log.RATE * 1.25
    assert found.metrics["throughput"].value == parse_log.RATE
    assert len(found.series["throughput"]) == 1  # the quarter of a second has no value


def test_a_window_without_transactions_has_no_latency(tmp_path: Path) -> None:
    parse_log.write_raw(tmp_path, 10)
    found = parse(tmp_path, Window(start=1.0, end=3.0))
    assert found.metrics["throughput"].value == 0
    assert found.metrics["latency_mean"].value is None
    assert found.series == {"throughput": (0.0, 0.0), "latency_mean": (None, None)}
    assert msgspec.json.decode(msgspec.json.encode(found), type=LoaderResult) == found


def test_a_run_in_which_nothing_was_completed_has_empty_samples(tmp_path: Path) -> None:
    parse_log.write_raw(tmp_path, 1)
    stdout = (tmp_path / "stdout").read_text().replace("processed: 1", "processed: 0")
    (tmp_path / "stdout").write_text(stdout[: stdout.index("latency")])
    (tmp_path / "tx.1").write_text("")
    found = parse(tmp_path, ALWAYS)
    assert (found.requests, found.metrics["throughput"].value) == (0, 0)
    table = loaders.get("pgbench").samples(tmp_path, ALWAYS)
    assert table is not None
    assert table.num_rows == 0
    assert table.column_names == ["completed", "latency_ms"]


def test_percentiles_agree_with_pandas(tmp_path: Path) -> None:
    parse_log.write_raw(tmp_path, 50_000)
    frame = pd.read_csv(tmp_path / "tx.1", sep=" ", header=None)
    found = parse(tmp_path, ALWAYS).metrics
    for name, q in (
        ("latency_p50", 0.5),
        ("latency_p95", 0.95),
        ("latency_p99", 0.99),
        ("latency_p999", 0.999),
    ):
        assert found[name].value == pytest.approx(frame[2].quantile(q) / 1000, rel=1e-12)


def test_latencies_beyond_four_bytes_stay_whole(tmp_path: Path) -> None:
    parse_log.write_raw(tmp_path, 30)
    hours = 2**33  # microseconds
    log = (tmp_path / "tx.1").read_text().splitlines()
    log[3:] = [f"0 1 {hours} 0 {parse_log.START} 5"] * 27
    (tmp_path / "tx.1").write_text("\n".join(log) + "\n")
    stdout = (tmp_path / "stdout").read_text()
    mean = sum(int(line.split()[2]) for line in log) / 30 / 1000
    (tmp_path / "stdout").write_text(stdout[: stdout.index("latency")] + f"latency average = {mean:.3f} ms\n")
    assert parse(tmp_path, ALWAYS).metrics["latency_p50"].value == hours / 1000


@pytest.mark.parametrize("name", ["18-closed", "15-rate", "18-skipped"])
def test_samples_are_the_windows_transactions(name: str) -> None:
    case = CASES / "pgbench" / name
    window = msgspec.json.decode((case / "window.json").read_bytes(), type=Window)
    table = loaders.get("pgbench").samples(case, window)
    assert table is not None
    result = parse(case)
    assert table.num_rows == result.requests - result.errors
    completed = table.column("completed").to_numpy()
    assert (np.diff(completed) >= 0).all()
    assert completed.min() >= 0
    assert completed.max() < window.seconds
    assert table.column("latency_ms").to_numpy().mean() == pytest.approx(result.metrics["latency_mean"].value)
    assert ("schedule_lag_ms" in table.column_names) == result.open_loop
    assert ("retries" in table.column_names) == (name == "18-skipped")


def test_the_command_runs_once_through_warm_up_and_window() -> None:
    found = loaders.get("pgbench").command(
        workload(clients=4, rate=50, protocol="prepared"), DESCRIPTOR, TARGET, 7
    )
    assert " ".join(found.argv) == (
        "/opt/pg/bin/pgbench -n -T 4 -P 1 --progress-timestamp -l --log-prefix=tx --random-seed=7 -c 4 -j 1"
        " -M prepared -R 50 -b tpcb-like -h /run/x -p 5432 -U bench db"
    )
    assert found.env["LD_LIBRARY_PATH"] == "/opt"
    assert found.env["LC_ALL"] == "C.UTF-8"


def test_threads_are_as_many_as_clients_and_the_hosts_cpus_allow() -> None:
    many = {**DESCRIPTOR, "processors": 8}
    assert "-j 4" in " ".join(loaders.get("pgbench").command(workload(clients=4), many, TARGET, 7).argv)
    assert "-j 8" in " ".join(loaders.get("pgbench").command(workload(clients=20), many, TARGET, 7).argv)
    assert "-j 2" in " ".join(argv(clients=20, threads=2))


def test_scripts_are_builtin_or_absolute() -> None:
    assert "-b select-only" in " ".join(argv(script="select-only"))
    assert "-f /x/own.sql" in " ".join(argv(script="/x/own.sql"))
    with pytest.raises(SpecError, match=r"own\.sql"):
        argv(script="own.sql")


def test_preparing_fills_the_tables_at_the_wanted_scale() -> None:
    found = loaders.get("pgbench").prepare({"scale": 5}, DESCRIPTOR, TARGET, 7)
    assert found is not None
    assert found.argv == (
        "/opt/pg/bin/pgbench", "-i", "-q", "-s", "5", "-h", "/run/x", "-p", "5432", "-U", "bench", "db"
    )  # fmt: skip


def test_without_a_dbms_there_is_nothing_to_drive() -> None:
    with pytest.raises(SpecError, match="drives a PostgreSQL"):
        loaders.get("pgbench").command(workload(), DESCRIPTOR, None, 7)


def test_an_unknown_load_generator_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"command, .*pgbench"):
        loaders.get("pgbnch")


def test_the_figure_against_pandas_can_be_taken() -> None:
    rows = parse_log.run(lines=5_000, rounds=1)
    assert [row.name.split(": ")[-1] for row in rows] == ["time", "peak memory"]


def test_a_null_run_is_the_same_load_without_a_rate() -> None:
    described = {**DESCRIPTOR, "version": "18.6", "processors": 8}
    pgbench = loaders.get("pgbench")
    wanted = workload(clients=250, rate=10, scale=4, script="select-only", protocol="prepared")
    found = pgbench.null_run(wanted, described, TARGET, "/rt")
    assert found is not None
    assert found.against == {
        "protocol": "postgresql",
        "version": "18.6",
        "scale": 4,
        "threads": 8,
        "socket": "/rt/.s.PGSQL.1",
    }
    words = pgbench.command(found.workload, described, found.target, 0).argv
    assert "-R" not in words
    assert words[words.index("-T") + 1] == "3"  # 250 clients need their time to connect
    assert words[words.index("-M") + 1] == "prepared"
    assert words[-7:] == ("-h", "/rt", "-p", "1", "-U", "bench", "db")


def test_a_script_of_ones_own_has_no_null_run() -> None:
    described = {**DESCRIPTOR, "version": "18.6"}
    assert loaders.get("pgbench").null_run(workload(script="/x/own.sql"), described, TARGET, "/rt") is None
