"""The command line of tpch, its parser on outputs of DuckDB 1.4, 1.5 and PostgreSQL 18.6, and its program."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from benchctl import loaders
from benchctl.errors import ParseError, SpecError
from benchctl.loaders import tpch
from benchctl.model.experiment import Workload
from benchctl.model.measurement import LoaderResult, Window
from benchctl.spec import read_role
from benchctl.spec.share import shared
from tests.needs import need

CASES = Path(__file__).parents[1] / "cases" / "loaders" / "tpch"
WINDOW = Window(start=0.0, end=1.0)
DESCRIPTOR: dict[str, Any] = {
    "binaries": {
        "python": "/usr/bin/python3",
        "tpch": "/x/tpch.py",
        "packages": "/x/p",
        "psql": "/usr/bin/psql",
    },
    "env": {"TZ": "UTC", "PGPASSFILE": "/x/pgpass"},
}
DUCKDB: dict[str, Any] = {"engine": "duckdb", "database": "/d/bench.duckdb", "settings": "/d/duckdb.settings"}
POSTGRESQL: dict[str, Any] = {"socket": "/run/x", "port": 5432, "user": "bench", "database": "postgres"}
PROGRAM = shared("roles") / "tpch" / "files" / "tpch.py"


def workload(**options: Any) -> Workload:
    return Workload(role="tpch", options={"scale": 0.01, **options})


def parse(raw: Path, **options: Any) -> LoaderResult:
    return loaders.get("tpch").parse(raw, WINDOW, workload(**options))


def test_a_recorded_output_gives_its_numbers() -> None:
    found = parse(CASES / "duckdb", rounds=3)
    lines = [json.loads(line) for line in (CASES / "duckdb" / "stdout").read_text().splitlines()[:-1]]
    spent = sum(line["seconds"] for line in lines)
    assert found.metrics["throughput"].value == pytest.approx(66 / spent)
    first = [1000 * line["seconds"] for line in lines if line["query"] == 1]
    assert found.metrics["q01_mean"].value == pytest.approx(sum(first) / 3)
    assert (found.requests, found.errors, found.open_loop) == (66, 0, False)
    assert found.metrics.keys() == loaders.get("tpch").names(workload())


def test_both_systems_gave_the_known_answers() -> None:
    assert parse(CASES / "postgresql").metrics["errors"].value == 0


def test_a_wrong_answer_is_an_error_of_the_trial(tmp_path: Path) -> None:
    raw = edited(tmp_path, '"query": 7, ', '"right": true', '"right": false')
    assert parse(raw).errors == 1


def edited(folder: Path, where: str, *pairs: str) -> Path:
    """The recorded output of PostgreSQL with one line changed."""
    raw = folder / "raw"
    shutil.copytree(CASES / "postgresql", raw)
    lines = (raw / "stdout").read_text().splitlines(keepends=True)
    (number,) = [number for number, line in enumerate(lines) if where in line]
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
        assert old in lines[number]
        lines[number] = lines[number].replace(old, new)
    (raw / "stdout").write_text("".join(lines))
    return raw


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"seconds"', '"minutes"', "stdout:7: unknown line"),
        ('"seconds": 0.', '"seconds": 0,', "stdout:7: unknown line"),
        ('"query": 7', '"query": 8', "not the 22 that were wanted"),
        ('"seconds": 0.', '"seconds": -0.', "without a time"),
        ('"right": true', '"right": null', "without a known answer"),
    ],
)
def test_a_changed_output_is_an_error_and_never_a_number(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ParseError, match=message):
        parse(edited(tmp_path, '"query": 7, ', old, new))


def test_an_output_that_is_cut_off_anywhere_is_an_error(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(CASES / "postgresql", raw)
    lines = (raw / "stdout").read_text().splitlines(keepends=True)
    for count in range(len(lines)):
        (raw / "stdout").write_text("".join(lines[:count]))
        with pytest.raises(ParseError):
            parse(raw)
    (raw / "stderr").write_text("tpch: psql: server closed the connection unexpectedly\n")
    with pytest.raises(ParseError, match="stderr:1: tpch says: tpch: psql: server closed"):
        parse(raw)
    (raw / "stderr").unlink()
    with pytest.raises(ParseError, match="stderr: not there"):
        parse(raw)


def test_the_command_line_names_the_system_and_no_secret() -> None:
    command = loaders.get("tpch").command(workload(queries=["1", "6"]), DESCRIPTOR, POSTGRESQL, 7)
    assert command.argv[:3] == ("/usr/bin/python3", "-ISB", "/x/tpch.py")
    wanted = json.loads(command.argv[3])
    assert wanted["psql"] == [
        "/usr/bin/psql", "--host=/run/x", "--port=5432", "--username=bench", "postgres",
    ]  # fmt: skip
    assert (wanted["queries"], wanted["verb"], wanted["seed"]) == ([1, 6], "run", 7)
    assert command.env == {"TZ": "UTC", "PGPASSFILE": "/x/pgpass", "LC_ALL": "C.UTF-8"}
    filled = loaders.get("tpch").prepare({"scale": 0.01}, DESCRIPTOR, DUCKDB, 7)
    assert filled is not None
    assert json.loads(filled.argv[3]).items() >= {"verb": "prepare", "engine": "duckdb"}.items()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Workload(role="tpch", warmup=1.0), "cannot leave out their beginning"),
        (workload(scale=0.5), "nobody knows the answers at scale 0.5"),
        (workload(queries=["0"]), "no numbers of queries"),
        (workload(queries=["1", "1"]), "each once"),
        (workload(queries=["1; drop"]), "no numbers of queries"),
    ],
)
def test_what_it_cannot_have_is_refused(given: Workload, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        loaders.get("tpch").names(given)


def test_a_system_is_needed() -> None:
    with pytest.raises(SpecError, match="drives a DBMS"):
        loaders.get("tpch").command(workload(), DESCRIPTOR, None, 7)


def test_the_role_says_the_same_defaults_and_metrics() -> None:
    meta = read_role("tpch", (shared("roles"),))
    assert {name: one.default for name, one in meta.options.items() if one.scope != "install"} == {
        name: default if default != () else None for name, default in tpch.DEFAULTS.items()
    }
    assert {metric.name for metric in meta.metrics} == set(tpch.names(workload()))


@pytest.mark.parametrize(
    ("engine", "setting", "connect"),
    [
        ("duckdb", '{"threads": "1"}', "duckdb.connect"),
        ("sqlite", '{"cache_size": "-8192"}', "sqlite3.connect"),
    ],
)
def test_the_program_gives_known_answers_and_sees_a_wrong_one(
    engine: str, setting: str, connect: str, tmp_path: Path
) -> None:
    """The real engine, filled, asked, and asked again when a row is gone."""
    packages = sysconfig.get_path("purelib")
    there = (Path(packages) / "duckdb_extension_tpch").is_dir()
    need("duckdb", "pip install -e '.[duckdb]'", available=there)
    descriptor = {
        "binaries": {"python": sys.executable, "tpch": str(PROGRAM), "packages": packages, "psql": ""}
    }
    target = {"engine": engine, "database": str(tmp_path / "d"), "settings": str(tmp_path / "settings")}
    (tmp_path / "settings").write_text(f"{setting}\n")

    def execute(argv: tuple[str, ...]) -> None:
        with (tmp_path / "stdout").open("w") as stdout, (tmp_path / "stderr").open("w") as stderr:
            subprocess.run(argv, check=True, stdout=stdout, stderr=stderr, timeout=120)

    filled = tpch.prepare({"scale": 0.01}, descriptor, target, 7)
    execute(filled.argv)
    run = tpch.command(workload(shuffle=True), descriptor, target, 7)
    execute(run.argv)
    assert (parse(tmp_path).requests, parse(tmp_path).errors) == (22, 0)
    delete = "c.execute('DELETE FROM nation WHERE n_nationkey = 3'); c.commit()"
    delete = f"import sys, {connect.partition('.')[0]}; c = {connect}(sys.argv[1]); {delete}"
    execute((sys.executable, "-c", delete, target["database"]))
    execute(run.argv)
    assert parse(tmp_path).errors > 0
