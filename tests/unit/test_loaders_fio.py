"""fio's command line, and its parser on recorded reports of 3.25, 3.33 and 3.39."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from benchctl import loaders
from benchctl.errors import ParseError, SpecError
from benchctl.loaders import fio
from benchctl.model.experiment import Workload
from benchctl.model.measurement import LoaderResult, Window
from benchctl.spec import read_role
from benchctl.spec.share import shared

if TYPE_CHECKING:
    from collections.abc import Callable

CASES = Path(__file__).parents[1] / "cases" / "loaders" / "fio"
WINDOW = Window(start=0.0, end=3.0)
DESCRIPTOR: dict[str, Any] = {"binaries": {"fio": "/usr/bin/fio"}, "env": {"TZ": "UTC"}}


def workload(duration: float = 3, warmup: float = 0, **options: Any) -> Workload:
    return Workload(role="fio", duration=duration, warmup=warmup, options=options)


def parse(raw: Path, **options: Any) -> LoaderResult:
    return loaders.get("fio").parse(raw, WINDOW, workload(**options))


def test_a_recorded_report_gives_its_numbers() -> None:
    found = parse(CASES / "randread")
    values = {name: quantity.value for name, quantity in found.metrics.items()}
    assert values["throughput"] == 34102.965678
    assert values["bandwidth"] == pytest.approx(139684319 / 2**20, rel=1e-4)
    assert values["latency_p999"] == 4.358  # fio's own is 4358144 ns
    assert found.series["throughput"] == (33072.0, 29225.0)  # fio did not log the last second
    assert (found.requests, found.version, found.open_loop) == (102343, "3.33", False)
    assert found.metrics.keys() == loaders.get("fio").names(workload())


def test_reads_and_writes_are_told_one_by_one_and_together() -> None:
    found = parse(CASES / "mixed", duration=2, rw="randrw", direct=False)
    one, other = (found.metrics[f"{side}_throughput"].value for side in ("read", "write"))
    assert one is not None
    assert other is not None
    assert found.metrics["throughput"].value == one + other
    assert found.metrics.keys() == loaders.get("fio").names(workload(rw="randrw"))


def test_the_percentiles_agree_with_those_that_fio_makes_of_the_same_bins() -> None:
    (job,) = json.loads((CASES / "randread" / "fio.json").read_text())["jobs"]
    told = job["read"]["lat_ns"]["percentile"]
    metrics = parse(CASES / "randread").metrics
    for name, key in (
        ("latency_p50", "50.000000"),
        ("latency_p95", "95.000000"),
        ("latency_p99", "99.000000"),
    ):
        assert metrics[name].value == pytest.approx(told[key] / 1e6, abs=0.001, rel=1 / 64)


def test_percentiles_of_bins_are_those_of_all_requests_in_a_row() -> None:
    spread = loaders.get("fio").latencies(CASES / "randread", WINDOW)["latency"]
    metrics = parse(CASES / "randread").metrics
    for name, q in fio.PERCENTILES.items():
        assert metrics[name].value == pytest.approx(np.quantile(spread, q) / 1000, rel=1e-12)


def changed(key: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda side: side.__setitem__(key, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed("total_ios", 0), "no request ended"),
        (changed("iops", "34,102"), "could not convert"),
        (lambda side: side.pop("bw_bytes"), "bw_bytes"),
        (lambda side: side["lat_ns"]["bins"].popitem(), "the bins hold"),
        (lambda side: side["lat_ns"].pop("bins"), "the bins hold 0 of"),
        (lambda side: side.pop("lat_ns"), "lat_ns"),
    ],
)
def test_a_changed_report_is_an_error_and_never_a_number(
    change: Callable[[dict[str, Any]], None], message: str, tmp_path: Path
) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(CASES / "randread", raw)
    report = json.loads((raw / "fio.json").read_text())
    change(report["jobs"][0]["read"])
    (raw / "fio.json").write_text(json.dumps(report))
    with pytest.raises(ParseError, match=message):
        parse(raw)


def test_a_report_that_is_cut_off_missing_or_has_a_log_in_another_form(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(CASES / "randread", raw)
    report, log = raw / "fio.json", raw / "iops_iops.log"
    log.write_text(log.read_text() + "1,5 s, 3\n")
    with pytest.raises(ParseError, match=r"iops_iops\.log:3: unknown line"):
        parse(raw)
    report.write_text(report.read_text()[:-500])
    with pytest.raises(ParseError, match=r"fio\.json: not JSON"):
        parse(raw)
    report.unlink()
    with pytest.raises(ParseError, match=r"fio\.json: not there"):
        parse(raw)


def test_the_command_line_has_every_option_and_a_file_of_its_own() -> None:
    given = workload(10, 2.5, rw="randrw", block_size=8192, size=1 << 30, engine="libaio", iodepth=32, jobs=2)
    command = loaders.get("fio").command(given, DESCRIPTOR, None, 7)
    assert " ".join(command.argv) == (
        "/usr/bin/fio --name=bench --directory=.. --filename=benchctl-fio-7 --unlink=1 --rw=randrw --bs=8192"
        " --size=1073741824 --ioengine=libaio --iodepth=32 --numjobs=2 --direct=1 --rwmixread=50 --time_based"
        " --runtime=10000ms --ramp_time=2500ms --randseed=7 --group_reporting --lat_percentiles=1"
        " --clat_percentiles=0 --write_iops_log=iops --log_avg_msec=1000 --per_job_logs=0"
        " --output-format=json+ --output=fio.json"
    )
    assert command.env == {"TZ": "UTC", "LC_ALL": "C.UTF-8"}
    rated = loaders.get("fio").command(workload(rate=50), DESCRIPTOR, None, 7).argv
    assert {"--rate_iops=50", "--rate_process=poisson"} <= set(rated)


def test_a_device_is_written_only_where_it_is_named() -> None:
    argv = loaders.get("fio").command(workload(device="/dev/nvme9n1"), DESCRIPTOR, None, 7).argv
    assert "--filename=/dev/nvme9n1" in argv
    assert "--unlink=1" not in argv


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folder": "/dev/sda"}, "no place for a file"),
        ({"folder": "data"}, "no absolute path"),
        ({"folder": "/data/../dev"}, "no absolute path"),
        ({"device": "/dev/sda:/dev/sdb"}, "without a colon"),
        ({"device": "/home/ada/file"}, "is no device"),
        ({"device": "/dev/sda", "folder": "/data"}, "take one of the two"),
        ({"iodepth": 8}, "one request at a time"),
        ({"engine": "mmap"}, "page cache"),
    ],
)
def test_what_it_cannot_have_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        loaders.get("fio").names(workload(**options))


def test_the_role_says_the_same_defaults() -> None:
    options = read_role("fio", (shared("roles"),)).options
    assert {name: one.default for name, one in options.items() if one.scope != "install"} == {
        name: default if default != "" else None for name, default in fio.DEFAULTS.items()
    }
    assert options["rw"].choices == fio.KINDS
    assert options["engine"].choices == fio.ENGINES
