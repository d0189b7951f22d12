"""stress-ng's command line, and its parser on recorded reports of 0.15 and 0.19."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from benchctl import loaders
from benchctl.errors import ParseError, SpecError
from benchctl.loaders import stress_ng
from benchctl.model.experiment import Workload
from benchctl.model.measurement import LoaderResult, Window
from benchctl.spec import read_role
from benchctl.spec.share import shared
from benchctl.testing.loader_contract import edited

CASES = Path(__file__).parents[1] / "cases" / "loaders" / "stress_ng"
WINDOW = Window(start=0.0, end=2.0)
DESCRIPTOR: dict[str, Any] = {"binaries": {"stress-ng": "/usr/bin/stress-ng"}, "env": {"TZ": "UTC"}}


def workload(duration: float = 2, **options: Any) -> Workload:
    return Workload(role="stress_ng", duration=duration, options=options)


def parse(raw: Path, **options: Any) -> LoaderResult:
    return loaders.get("stress_ng").parse(raw, WINDOW, workload(**options))


def test_a_recorded_report_gives_its_numbers() -> None:
    found = parse(CASES / "cpu", workers=2, method="matrixprod")
    assert {name: quantity.value for name, quantity in found.metrics.items()} == {
        "throughput": 1075.657321,
        "throughput_cpu": 938.824308,
        "seconds": 2.002496,
        "errors": 0.0,
    }
    assert found.metrics.keys() == loaders.get("stress_ng").names(workload())
    assert (found.requests, found.version) == (2154, "0.15.06")


def test_a_stressor_may_tell_figures_of_its_own() -> None:
    assert parse(CASES / "hdd", stressor="hdd").requests == 32768


def test_another_stressor_than_the_one_that_was_asked_for_is_an_error() -> None:
    with pytest.raises(ParseError, match="no metrics of vm alone"):
        parse(CASES / "cpu", stressor="vm")


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("stress-ng.yaml", "bogo-ops: 2154", "bogo-ops: 0", "bogo-ops is 0"),
        ("stress-ng.yaml", "1075.657321", "1075,657321", "no measurement"),
        ("stress-ng.yaml", "1075.657321", ".nan", "no measurement"),
        ("stress-ng.yaml", "metrics:", "figures:", "no metrics of cpu"),
        ("stress-ng.yaml", "    - stressor: cpu", "    - - :\n}", "not YAML"),
        ("stderr", "stress-ng: info: ", "stress-ng: fail: ", "stderr:1: stress-ng says"),
        ("stderr", "stress-ng: info: ", "Aviso: ", "stderr:1: stress-ng says"),
    ],
)
def test_a_changed_report_is_an_error_and_never_a_number(
    name: str, old: str, new: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ParseError, match=message):
        parse(edited(CASES / "cpu", tmp_path, old, new, name))


def test_a_report_that_is_cut_off_anywhere_is_an_error_or_whole(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(CASES / "cpu", raw)
    lines = (raw / "stress-ng.yaml").read_text().splitlines(keepends=True)
    needed = next(number for number, line in enumerate(lines) if "wall-clock" in line)
    for count in range(needed + 1):
        (raw / "stress-ng.yaml").write_text("".join(lines[:count]))
        with pytest.raises(ParseError):
            parse(raw)


def test_a_program_that_wrote_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParseError, match="stdout: not there"):
        parse(tmp_path)
    (tmp_path / "stdout").touch()
    (tmp_path / "stderr").touch()
    with pytest.raises(ParseError, match=r"stress-ng\.yaml: not there"):
        parse(tmp_path)


def test_the_command_line_has_every_option() -> None:
    given = workload(10, stressor="matrix", workers=2, method="prod")
    command = loaders.get("stress_ng").command(given, DESCRIPTOR, None, 7)
    assert " ".join(command.argv) == (
        "/usr/bin/stress-ng --matrix=2 --matrix-method=prod --timeout=10s --seed=7 --temp-path=.."
        " --metrics-brief --yaml=stress-ng.yaml"
    )
    assert command.env == {"TZ": "UTC", "LC_ALL": "C.UTF-8"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Workload(role="stress_ng", warmup=1.0), "from its first operation on"),
        (workload(1.5), "whole seconds"),
        (workload(stressor="cpu --vm"), "is no name"),
        (workload(method="../x"), "is no name"),
    ],
)
def test_what_it_cannot_have_is_refused(given: Workload, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        loaders.get("stress_ng").names(given)


def test_the_role_says_the_same_defaults() -> None:
    options = read_role("stress_ng", (shared("roles"),)).options
    assert {name: one.default for name, one in options.items() if one.scope != "install"} == {
        name: default if default != "" else None for name, default in stress_ng.DEFAULTS.items()
    }
