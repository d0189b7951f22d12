"""BenchBase's command line, the script that fills in its configuration, and its outputs changed.

BenchBase needs a Java that test hosts do not have: the script starts a program that shows what it got.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchctl import loaders
from benchctl.errors import ParseError, SpecError
from benchctl.model.experiment import Workload
from benchctl.model.measurement import Window
from benchctl.spec.share import shared
from benchctl.testing.loader_contract import edited

if TYPE_CHECKING:
    from benchctl.loaders import Command

CASE = Path(__file__).parents[1] / "cases" / "loaders" / "benchbase" / "tpcc-postgresql-18"
SCRIPT = shared("roles") / "benchbase" / "files" / "run_benchbase.py"
SAMPLE = """<?xml version="1.0"?>
<parameters>
  <type>POSTGRES</type><driver>org.postgresql.Driver</driver><url>jdbc:postgresql://localhost/x</url>
  <username>admin</username><password>password</password><isolation>TRANSACTION_SERIALIZABLE</isolation>
  <scalefactor>1</scalefactor><terminals>1</terminals>
  <works><work><time>60</time><rate>10000</rate><weights>45,43,4,4,4</weights></work></works>
</parameters>
"""
JAVA = f"""#!{sys.executable}
import json, os, sys
words = sys.argv[1:]
text = open(words[words.index("-c") + 1]).read()
print(json.dumps({{"words": words, "folder": os.getcwd(), "configuration": text}}))
"""
TARGET = {
    "protocol": "postgresql",
    "host": "10.0.0.7",
    "port": 54321,
    "user": "bench",
    "database": "postgres",
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    (folder / "config" / "postgres").mkdir(parents=True)
    (folder / "config" / "postgres" / "sample_tpcc_config.xml").write_text(SAMPLE)
    java = folder / "java"
    java.write_text(JAVA)
    java.chmod(0o755)
    return folder


def command(home: Path, target: dict[str, Any] | None = None, **options: Any) -> Command:
    descriptor = {
        "binaries": {"java": str(home / "java")},
        "home": str(home),
        "launcher": [sys.executable, "-ISB", str(SCRIPT)],
        "env": {"PGPASSFILE": str(home / "pgpass")},
    }
    workload = Workload(role="benchbase", warmup=5.0, duration=30.0, options=options)
    return loaders.get("benchbase").command(workload, descriptor, TARGET if target is None else target, 7)


def started(found: Command, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        found.argv, env=found.env, cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )


def phase_of(root: ET.Element) -> ET.Element:
    """The one phase of a configuration: `work` inside of `works`."""
    (phase,) = root.iter("work")
    return phase


def test_the_sample_is_filled_in_and_the_password_lies_in_no_file_and_no_word(
    home: Path, tmp_path: Path
) -> None:
    (home / "pgpass").write_text("10.0.0.8:*:*:bench:other\n10.0.0.7:54321:*:bench:s\\:ecret\n")
    results = tmp_path / "results"
    results.mkdir()
    found = command(
        home, scale=2, terminals=4, rate=500, weights="50,50", isolation="TRANSACTION_READ_COMMITTED"
    )
    assert "ecret" not in json.dumps(found.argv) + json.dumps(found.env)
    told = json.loads(started(found, results).stdout)
    assert told["folder"] == str(home)
    words = told["words"]
    assert words[words.index("-d") + 1] == str(results)
    assert words[words.index("-b") + 1] == "tpcc"
    assert {"--create=true", "--load=true", "--execute=true"} <= set(words)
    root = ET.fromstring(told["configuration"])  # noqa: S314 - our own
    url = root.findtext("url")
    assert url is not None
    assert url.startswith("jdbc:postgresql://10.0.0.7:54321/postgres?")
    names = ("username", "password", "scalefactor", "terminals", "isolation", "driver")
    assert [root.findtext(name) for name in names] == [
        "bench", "s:ecret", "2", "4", "TRANSACTION_READ_COMMITTED", "org.postgresql.Driver",
    ]  # fmt: skip
    work = ("time", "warmup", "rate", "weights")
    assert [phase_of(root).findtext(name) for name in work] == ["30", "5", "500", "50,50"]
    assert list(results.iterdir()) == []


def test_what_is_not_asked_for_stays_as_the_sample_has_it(home: Path, tmp_path: Path) -> None:
    root = ET.fromstring(json.loads(started(command(home), tmp_path).stdout)["configuration"])  # noqa: S314 - our own
    assert root.findtext("isolation") == "TRANSACTION_SERIALIZABLE"
    assert phase_of(root).findtext("weights") == "45,43,4,4,4"
    assert root.findtext("password") in {"", None}


def test_a_benchmark_that_there_is_not_is_named(home: Path, tmp_path: Path) -> None:
    done = started(command(home, benchmark="tpcx"), tmp_path)
    assert done.returncode == 1
    assert "no benchmark 'tpcx' for PostgreSQL: " in done.stderr
    assert "Traceback" not in done.stderr


def test_it_needs_a_postgresql_that_listens_on_a_port(home: Path) -> None:
    with pytest.raises(SpecError, match="over TCP alone"):
        command(home, {"protocol": "postgresql", "socket": "/run/x", "port": 1, "user": "b", "database": "d"})
    with pytest.raises(SpecError, match="drives a PostgreSQL"):
        command(home, {"protocol": "redis", "host": "x", "port": 1})


@pytest.mark.parametrize(
    ("pattern", "old", "new", "message"),
    [
        ("*.summary.json", '"EXIT"', '"ERROR"', "ended in the state 'ERROR'"),
        ("*.summary.json", "13327", "13328", "13328 requests in its summary, 13327 in its list"),
        (
            "*.summary.json",
            "790.0899744453925",
            "791.0899744453925",
            "12638 transactions on stdout, 12654 by",
        ),
        ("*.summary.json", "Median", "Mean", "KeyError"),
        (
            "*.summary.json",
            ' "95th',
            ' "50th Percentile Latency (microseconds)": 1, "95th',
            "other latencies than",
        ),
        ("*.summary.json", "4791\n }", "4791", "JSONDecodeError"),
        ("*.raw.csv", "Worker Id", "Thread Id", "raw.csv:1: unknown head"),
        ("*.raw.csv", "2774,1,1", "2774", "raw.csv:2: unknown line"),
        ("*.raw.csv", "2774,1,1", "-2774,1,1", "raw.csv:2: unknown line"),
        ("stdout", "[INFO ] 2026-11-21 11:17:08,464", "[ERROR] 2026-11-21 11:17:08,464", "BenchBase says"),
        ("stdout", "[6007]", "[6o07]", "unknown line"),
        ("stdout", "Unknown Status", "Unheard Status", "unknown line"),
    ],
)
def test_a_changed_output_is_an_error(tmp_path: Path, pattern: str, old: str, new: str, message: str) -> None:
    raw = edited(CASE, tmp_path, old, new, pattern)
    with pytest.raises(ParseError, match=message):
        loaders.get("benchbase").parse(raw, Window(start=0.0, end=1.0), Workload(role="benchbase"))


@pytest.mark.parametrize("cut", [1, 3, 30, 100_000])
def test_a_cut_list_is_an_error(tmp_path: Path, cut: int) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(CASE, raw)
    (path,) = raw.glob("*.raw.csv")
    path.write_text(path.read_text()[:-cut])
    with pytest.raises(ParseError, match=r"raw\.csv:\d+: the last line has no end"):
        loaders.get("benchbase").parse(raw, Window(start=0.0, end=1.0), Workload(role="benchbase"))


@pytest.mark.parametrize("pattern", ["*.summary.json", "*.raw.csv"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, pattern: str) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(CASE, raw)
    next(raw.glob(pattern)).unlink()
    with pytest.raises(ParseError, match=r"expected one file \*\."):
        loaders.get("benchbase").parse(raw, Window(start=0.0, end=1.0), Workload(role="benchbase"))
