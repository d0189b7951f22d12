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


UNITS = {"ops": "1/s"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"run": ""}, "no command"),
        ({"run": "a 'b"}, "No closing quotation"),
        ({"parse": {"json": False}}, r"parse\.json: found False"),
        ({"parse": {"json": True, "regex": "x"}}, "unknown form"),
        ({"parse": {"json": True, "take": "last"}}, "unknown form"),
        ({"parse": {"csv": True, "take": "first"}}, r"parse\.take: found 'first'"),
        ({"parse": {"csv": True, "delimiter": ", "}}, r"parse\.delimiter: found ', '"),
        ({"parse": {"csv": True, "row": "total"}}, r"parse\.row: found 'total'"),
        ({"parse": {"regex": "("}}, r"parse\.regex: '\('"),
        ({"parse": {"regex": "[0-9]+"}}, "no named group"),
        ({"parse": {"regex": True}}, "found True without values"),
        ({"parse": {"regex": "(?P<a>1)"}, "values": UNITS}, "beside values"),
        ({"parse": {"regex": True}, "values": {"ops": "[0-9]+"}}, r"values\.ops: .* has 0 groups, not one"),
        ({"parse": {"regex": True}, "values": {"ops": "(["}}, r"values\.ops: "),
        ({"parse": {"json": True}, "values": {"ops": "a.b"}}, r"values\.ops: 'a.b' is no path"),
        ({"parse": {"json": True}, "values": {"ops": "$"}}, r"values\.ops: '\$' is no path"),
        ({"parse": {"json": True}, "values": {"ops": "$.a[*]"}}, "is no path to one value"),
        ({"parse": {"json": True, "path": "../x"}}, "leaves the working folder"),
        ({"parse": "json"}, "is no mapping"),
        ({"values": {"ops": "$.a"}}, "found without parse"),
        ({"parse": {"regex": "(?P<ops>[0-9]+)"}}, "units: found no unit of ops"),
        ({"parse": {"json": True}, "values": {"ops": "$.a"}}, "units: found no unit of ops"),
        ({"parse": {"csv": True}, "values": {"ops": "a"}, "units": UNITS | {"opps": "1"}}, r"units\.opps: "),
    ],
)
def test_options_that_cannot_be_are_errors_before_anything_runs(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        COMMAND.command(workload(**{"run": "x", **options}), {}, None, 7)


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


REPORT = """{"jobs": [{"iops": 1.5, "clat": {"p99.9": 12, "p 50": 3}}, {"iops": 2}],
 "errors": 4, "requests": 100}
"""
PATHS = {
    "ops": "$.jobs[0].iops",
    "other": "$.jobs[-1]['iops']",
    "tail": "$.jobs[0].clat['p99.9']",
    "middle": '$["jobs"][0].clat["p 50"]',
}


def test_json_paths_find_values_in_a_whole_document(tmp_path: Path) -> None:
    found = metrics(tmp_path, REPORT, parse={"json": True}, values=PATHS)
    assert found == {"ops": 1.5, "other": 2.0, "tail": 12.0, "middle": 3.0}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("$.jobs[2].iops", r"stdout:1: ops: nothing at \$\.jobs\[2\]\.iops: no 2 in a list of 2"),
        ("$.job", "no 'job' in an object with the keys jobs, errors, requests"),
        ("$.errors.all", "no 'all' in 4"),
        ("$.jobs", "is no number"),
    ],
)
def test_a_path_that_leads_nowhere_says_what_is_there(tmp_path: Path, path: str, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        metrics(tmp_path, REPORT, parse={"json": True}, values={"ops": path})


@pytest.mark.parametrize("end", [*range(1, 15), *range(60, len(REPORT) - 2)])
def test_a_cut_document_is_an_error_wherever_it_is_cut(tmp_path: Path, end: int) -> None:
    with pytest.raises(ParseError, match=r"stdout:[12]: "):
        metrics(tmp_path, REPORT[:end], parse={"json": True}, values={"ops": "$.jobs[0].iops"})


def test_the_last_part_of_a_cut_document_is_not_the_document(tmp_path: Path) -> None:
    with pytest.raises(ParseError, match="stdout:3: this is a part of a document"):
        metrics(tmp_path, '[\n{"ops": 1},\n{"ops": 2}', parse={"json": True})


def test_errors_and_requests_that_it_reports_are_those_of_the_result(tmp_path: Path) -> None:
    (tmp_path / "stdout").write_text('{"errors": 4, "requests": 100}')
    found = COMMAND.parse(tmp_path, WINDOW, workload(parse={"json": True}))
    assert (found.errors, found.requests) == (4, 100)


def regex(raw: Path, stdout: str, pattern: str, **more: Any) -> dict[str, float | None]:
    return metrics(raw, stdout, parse={"regex": pattern, **more}, units=UNITS)


def test_the_last_match_counts_where_that_is_told(tmp_path: Path) -> None:
    text, pattern = "ops 1\nops 25\nend\n", r"^ops (?P<ops>\d+)$"
    assert regex(tmp_path, text, pattern, take="last") == {"ops": 25.0}
    with pytest.raises(ParseError, match=r"stdout:2: a second match of .* the first is in line 1"):
        regex(tmp_path, text, pattern)


def test_each_metric_has_its_own_pattern_and_its_unit(tmp_path: Path) -> None:
    (tmp_path / "stdout").write_text("ops: 25\nlatency (avg): .5ms\n")
    values = {"throughput": "ops: ([0-9]+)", "latency-mean": r"avg\): (\S+)ms"}
    units = {"throughput": "1/s", "latency-mean": "ms"}
    found = COMMAND.parse(tmp_path, WINDOW, workload(parse={"regex": True}, values=values, units=units))
    shown = {name: (q.value, q.unit) for name, q in found.metrics.items()}
    assert shown == {"throughput": (25.0, "1/s"), "latency-mean": (0.5, "ms")}


@pytest.mark.parametrize(
    ("stdout", "pattern"),
    [
        ("12,5 ops\n", "(?P<ops>[0-9.]+) ops"),
        ("1'234 ops\n", "(?P<ops>[0-9.]+) ops"),
        ("1\u202f234 ops\n", "(?P<ops>[0-9.]+) ops"),
        ("1.234,5 ops\n", "(?P<ops>[0-9.]+) ops"),
        ("ops: 12,345\n", "ops: (?P<ops>[0-9]+)"),
        ("ops: 12.7\n", "ops: (?P<ops>[0-9]+)"),
        ("ops: 1e6\n", "ops: (?P<ops>[0-9]+)"),
        ("ops: 1e-6 s\n", "(?P<ops>[0-9]+) s"),
        ("ops: -5\n", "(?P<ops>[0-9]+)"),
        ("ops: .5\n", "(?P<ops>[0-9]+)"),
        ("ops: 1234\n", "ops: [0-9](?P<ops>[0-9]+)"),
        ("ops=12,5 p99=3\n", "ops=(?P<ops>[0-9]+).*p99"),
    ],
)
def test_a_part_of_a_number_is_not_the_number(tmp_path: Path, stdout: str, pattern: str) -> None:
    with pytest.raises(ParseError, match=r"stdout:1: ops: .* is a part of a number in "):
        regex(tmp_path, stdout, pattern)


@pytest.mark.parametrize(
    ("stdout", "pattern", "ops"),
    [
        ("12.5 ops\n", "(?P<ops>[0-9.]+) ops", 12.5),
        ("p99 latency, 12 ms.\n", "(?P<ops>[0-9.]+) ms", 12.0),
        ("1,12,3\n", r"(\d+),(?P<ops>\d+),(\d+)", 12.0),
        ("ops: 12, 5\n", "ops: (?P<ops>[0-9]+)", 12.0),
        ("ops: -1.5E+2\n", r"ops: (?P<ops>\S+)", -150.0),
        ("ops 7 ops/s", "ops (?P<ops>[0-9]+) ops", 7.0),
    ],
)
def test_a_whole_number_is(tmp_path: Path, stdout: str, pattern: str, ops: float) -> None:
    assert regex(tmp_path, stdout, pattern) == {"ops": ops}


TABLE = "kind;ops;p99\nread;12.5;3\nall;25;4e-1\n"


def table(raw: Path, stdout: str, values: dict[str, str], **more: Any) -> dict[str, float | None]:
    return metrics(raw, stdout, parse={"csv": True, "delimiter": ";", **more}, values=values)


def test_a_table_gives_the_columns_of_its_one_row(tmp_path: Path) -> None:
    assert table(tmp_path, "ops; p99\n12.5; 3\n", {}) == {"ops": 12.5, "p99": 3.0}
    assert table(tmp_path, TABLE, {}, row="kind=all") == {"ops": 25.0, "p99": 0.4}
    assert table(tmp_path, TABLE, {"tail": "p99"}, take="last") == {"tail": 0.4}


@pytest.mark.parametrize(
    ("stdout", "more", "message"),
    [
        (TABLE, {}, "stdout:3: a second row; the first is in line 2"),
        (TABLE, {"row": "kind=write"}, "there is no row"),
        (TABLE, {"row": "sort=all"}, "stdout:1: there is no column 'sort'; there are kind, ops, p99"),
        (TABLE, {"take": "last"}, "stdout:3: kind: 'all' is no number"),
        (TABLE[:-1], {}, "stdout:3: the last line has no end"),
        (TABLE[:-3], {}, "stdout:3: the last line has no end"),
        ("ops;p99\n1;2;3\n", {}, "stdout:2: 3 fields under a head of 2"),
        ("ops;ops\n1;2\n", {}, "stdout:1: a column is there twice"),
        ("ops\n12,5\n", {}, "stdout:2: ops: '12,5' is no number"),
        ("ops\nnan\n", {}, "stdout:2: ops: 'nan' is no number"),
        ("ops\n1e999\n", {}, "ops is inf"),
        ('ops\n"1\n', {}, "stdout:[23]: unexpected end"),
        ("ops\n", {}, "there is no row"),
        ("\n", {}, "empty; expected a table with a head"),
    ],
)
def test_a_table_that_is_no_measurement_is_an_error(
    tmp_path: Path, stdout: str, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParseError, match=message):
        table(tmp_path, stdout, {}, **more)


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
        ('{"a": 1, "a": 2}\n', "stdout:1: the key 'a' is there twice"),
        ("[" * 100_000, "stdout:1: nested too deeply"),
    ],
)
def test_json_that_is_no_measurement_is_an_error(tmp_path: Path, stdout: str, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        metrics(tmp_path, stdout, parse={"json": True})


@pytest.mark.parametrize(
    ("stdout", "message"),
    [
        ("", r"stdout: empty; expected a match of 'ops"),
        ("nothing\n", "there is no match of"),
        ("x\nops many\n", "stdout:2: ops: 'many' is no number"),
        ("x\nops 12", "stdout:2: ops: the output ends within '12': it may be cut"),
    ],
)
def test_text_that_is_no_measurement_is_an_error(tmp_path: Path, stdout: str, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        regex(tmp_path, stdout, r"ops (?P<ops>\w+)")


def test_a_file_that_was_not_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParseError, match=r"report\.json: not there"):
        metrics(tmp_path, "", parse={"json": True, "path": "report.json"})
