"""`benchctl hosts noise`: what is printed of a measurement, alone and beside an earlier one."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.cli.hosts_noise import aligned, beside, remarks, table
from tests.unit.test_cli_main import run_main

if TYPE_CHECKING:
    from collections.abc import Iterator

    Out = pytest.CaptureFixture[str]

ROW = {
    "cpu": 3,
    "floor": 60,
    "edges": {"1000": 400, "100000": 20, "1000000": 2},
    "longest": 2_500_000,
    "lost": 0.125,
    "blocks": 100,
    "block": 500_000,
    "cv": 0.02,
    "ratio": 1.5,
    "timers": 2000,
    "interrupts": 30,
    "softirqs": 60,
    "busiest": {"RES": 20},
    "busiest_softirqs": {"RCU": 30},
}
BROKEN = {"cpu": 7, "error": "cannot run on CPU 7: Invalid argument"}


def reply(seconds: float = 2.0, *more: dict[str, Any], **changed: Any) -> dict[str, Any]:
    return {"seconds": seconds, "cpus": [{**ROW, **changed}, *more]}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    short = Path(tempfile.mkdtemp(prefix="b", dir="/tmp"))
    for name in ("CACHE", "LEASE_DIR", "STATE_DIR"):
        monkeypatch.setenv(f"BENCHCTL_{name}", str(tmp_path / name.lower()))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    monkeypatch.chdir(tmp_path)
    yield
    shutil.rmtree(short)


def test_a_cpu_is_a_line_of_rates() -> None:
    head, line = table(reply(2.0, BROKEN))
    told = dict(zip(head, line, strict=True))
    assert told["cpu"] == "3"
    assert (told["lost %"], told["gaps/s"], told["long/s"], told["longest µs"]) == (
        "12.5",
        "200",
        "10",
        "2500",
    )
    assert (told["timers/s"], told["interrupts/s"], told["softirqs/s"]) == ("1000", "15", "30")
    assert (told["block µs"], told["CV %"], told["max/min"]) == ("500", "2", "1.5")
    assert told["busiest"] == "RES, RCU"


def test_a_measurement_stands_beside_an_earlier_one_with_their_ratio() -> None:
    before = reply(4.0, {**ROW, "cpu": 5}, interrupts=0)
    rows = {row[1]: row[2:] for row in beside(before, reply(2.0, {**ROW, "cpu": 9}, lost=0.025))[1:]}
    assert rows["lost %"] == ["12.5", "2.5", "0.2"]
    assert rows["gaps/s"] == ["100", "200", "2"]  # the same number in half the time
    assert rows["interrupts/s"] == ["0", "15", "–"]
    assert len(rows) == len(beside(before, reply())[1:])  # no CPU of one side alone


def test_what_limits_the_figures_is_said() -> None:
    coarse = {**ROW, "cpu": 4, "floor": 900, "edges": {"5000": 1, "100000": 1, "1000000": 0}}
    assert list(remarks(reply(2.0, coarse, BROKEN))) == [
        "a gap is 5 µs and more, a long one 100; two reads of the clock take 900 ns",
        "cpu 7: cannot run on CPU 7: Invalid argument",
    ]
    assert table(reply(2.0, coarse))[2][1:4] == ["12.5", "0.5", "0.5"]


def test_figures_stand_to_the_right_and_words_to_the_left() -> None:
    lines = list(aligned([["cpu", "what", "before"], ["3", "lost %", "12.5"]]))
    assert lines == ["cpu  what    before", "  3  lost %    12.5"]


@pytest.mark.usefixtures("here")
def test_this_machine_is_measured_and_compared_with_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    words = ("hosts", "noise", "--seconds", "0.1", "--cpus", "0")
    assert run_main(monkeypatch, *words, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["cpu"] for row in told["hosts"]["localhost"]["cpus"]] == [0]
    Path("before.json").write_text(json.dumps(told))
    assert run_main(monkeypatch, *words, "--before", "before.json") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "# localhost"
    assert lines[1].split() == ["cpu", "what", "before", "after", "ratio"]
    assert run_main(monkeypatch, "hosts", "noise", "--cpus", "4095") == 1
    assert "this host has the CPUs" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("text", ["{}", "[", '{"hosts": {"localhost": {"seconds": 1}}}', '{"hosts": 3}'])
def test_a_file_that_is_no_measurement_is_refused_before_anything_is_measured(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    Path("before.json").write_text(text)
    assert run_main(monkeypatch, "hosts", "noise", "--before", "before.json") == 2
    assert "before.json: not what `hosts noise --json` prints" in capsys.readouterr().err
