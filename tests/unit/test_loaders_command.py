from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from benchctl import loaders
from benchctl.errors import ParseError, SpecError
from benchctl.model.experiment import Workload
from benchctl.model.measurement import TaskResult, Window

if TYPE_CHECKING:
    from pathlib import Path

WINDOW = Window(start=0.0, end=1.0)
TASK = TaskResult(argv=("x",), exit=0, start=10.0, end=12.5, cpu_user=0.0, cpu_system=0.0, max_rss=0)
COMMAND = loaders.get("command")


def workload(**options: Any) -> Workload:
    return Workload(role="command", warmup=1.0, duration=2.0, options=options)


def metrics(
    raw: Path, stdout: str, task: TaskResult | None = None, **options: Any
) -> dict[str, float | None]:
    (raw / "stdout").write_text(stdout)
    found = COMMAND.parse(raw, WINDOW, workload(**options), task).metrics
    return {name: quantity.value for name, quantity in found.items()}


def test_words_are_split_and_never_given_to_a_shell() -> None:
    found = COMMAND.command(workload(run="load --note 'a b' ; rm $HOME"), {}, None, 7)
    assert found.argv == ("load", "--note", "a b", ";", "rm", "$HOME")
    assert COMMAND.command(workload(run=("load", "a b")), {}, None, 7).argv == ("load", "a b")


def test_the_trial_stands_in_the_environment() -> None:
    target = {"socket": "/run/x", "port": 1, "user": "bench", "database": "db"}
    found = COMMAND.command(workload(run="x"), {"env": {"A": "1"}}, target, 7)
    assert found.env == {
        "A": "1",
        "BENCHCTL_SEED": "7",
        "BENCHCTL_WARMUP": "1",
        "BENCHCTL_DURATION": "2",
        "BENCHCTL_SOCKET": "/run/x",
        "BENCHCTL_PORT": "1",
        "BENCHCTL_USER": "bench",
        "BENCHCTL_DATABASE": "db",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"run": ""}, "no command"),
        ({"run": "a 'b"}, "No closing quotation"),
        ({"run": "x", "parse": {"json": False}}, "unknown form"),
        ({"run": "x", "parse": {"json": True, "regex": "x"}}, "unknown form"),
        ({"run": "x", "parse": {"regex": "("}}, "regex"),
        ({"run": "x", "parse": {"regex": "[0-9]+"}}, "no named group"),
        ({"run": "x", "parse": {"json": True, "path": "../x"}}, "leaves the working folder"),
        ({"run": "x", "parse": "json"}, "is no mapping"),
    ],
)
def test_options_that_cannot_be_are_errors_before_anything_runs(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        COMMAND.command(workload(**options), {}, None, 7)


def test_without_parse_the_time_of_the_process_is_the_only_metric(tmp_path: Path) -> None:
    found = COMMAND.parse(tmp_path, WINDOW, workload(run="x"), TASK)
    assert {name: (q.value, q.unit) for name, q in found.metrics.items()} == {"seconds": (2.5, "s")}
    assert COMMAND.samples(tmp_path, WINDOW) is None
    assert COMMAND.prepare({}, {}, None, 7) is None


@pytest.mark.parametrize("parse", [{"json": True}, {"role": "json"}])
def test_the_last_line_that_is_not_empty_is_json(tmp_path: Path, parse: dict[str, Any]) -> None:
    found = metrics(tmp_path, 'hello\n{"throughput": 12, "seconds": 1.5}\n\n', TASK, parse=parse)
    assert found == {"throughput": 12.0, "seconds": 1.5}


def test_another_file_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"ops": 3}')
    assert metrics(tmp_path, "", parse={"json": True, "path": "report.json"}) == {"ops": 3.0}


def test_the_last_match_counts_and_units_are_given(tmp_path: Path) -> None:
    (tmp_path / "stdout").write_text("ops 1\nops 25\nend\n")
    options = {"parse": {"regex": r"^ops (?P<throughput>\d+)$"}, "units": {"throughput": "1/s"}}
    found = COMMAND.parse(tmp_path, WINDOW, workload(**options)).metrics
    assert {name: (q.value, q.unit) for name, q in found.items()} == {"throughput": (25.0, "1/s")}


@pytest.mark.parametrize(
    ("stdout", "message"),
    [
        ("", "empty"),
        ("x\nnot json\n", "stdout:2: not JSON"),
        ("[1]\n", "stdout:1: expected an object"),
        ("{}\n", "stdout:1: expected an object"),
        ('{"a": "1"}\n', "a: '1' is no number"),
        ('{"a": true}\n', "a: True is no number"),
        ('{"a": NaN}\n', "a is nan"),
    ],
)
def test_json_that_is_no_measurement_is_an_error(tmp_path: Path, stdout: str, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        metrics(tmp_path, stdout, parse={"json": True})


@pytest.mark.parametrize(
    ("stdout", "message"),
    [("nothing\n", "nothing matches"), ("x\nops many\n", "stdout:2: ops: 'many' is no number")],
)
def test_text_that_is_no_measurement_is_an_error(tmp_path: Path, stdout: str, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        metrics(tmp_path, stdout, parse={"regex": r"ops (?P<ops>\w+)"})


def test_a_file_that_was_not_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParseError, match=r"report\.json: not there"):
        metrics(tmp_path, "", parse={"json": True, "path": "report.json"})
