"""Every form of a run's report, over made-up runs of every kind."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest
from msgspec.structs import replace

from benchctl.errors import UsageError
from benchctl.model.comparison import TrialCounts
from benchctl.report import Form, render
from benchctl.report.to_json import COMPARISON_KEYS
from tests.unit.report_data import CASES, HOSTILE, Case, FactorCase, view

if TYPE_CHECKING:
    from benchctl.results.view import RunView

FORMS: tuple[Form, ...] = get_args(Form)
CASE_FILES = Path(__file__).parents[1] / "cases" / "report"
SECTIONS = (
    "Intervals",
    "Values by treatment",
    "Second by second",
    "Order of trials",
    "Validity gates",
    "Environment",
    "Failures",
    "How to reproduce",
)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", CASES)
def test_the_same_run_gives_the_same_text(case: str, form: Form) -> None:
    first = render(view(case), form)
    assert first == render(view(case), form)
    assert first.endswith("\n")


def test_another_process_gives_the_same_bytes() -> None:
    program = (
        "import hashlib; from benchctl.report import render; from tests.unit.report_data import view;"
        f"print([hashlib.sha256(render(view('several'), form).encode()).hexdigest() for form in {FORMS}])"
    )
    results = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={
                "PYTHONHASHSEED": seed,
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "TZ": zone,
                "COLUMNS": "40",
            },
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
    }
    assert len(results) == 1


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(UsageError, match="use one of brief, terminal, html, markdown, json, csv"):
        render(view(), "pdf")  # type: ignore[arg-type]


def test_importing_the_room_loads_no_heavy_library() -> None:
    program = (
        "import sys, benchctl.report; print([m for m in ('rich', 'plotly', 'pandas') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert found == "[]\n"


@pytest.mark.parametrize("case", sorted(path.stem for path in CASE_FILES.glob("*.txt")))
def test_terminal_looks_as_recorded(case: str) -> None:
    """To record again: `python -m tests.unit.report_record`, then read the difference."""
    assert render(view(case), "terminal", width=80) == (CASE_FILES / f"{case}.txt").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("case", ["faster", "several", "troubled", "hostile", "nothing"])
def test_terminal_keeps_to_its_width(case: str, width: int) -> None:
    lines = render(view(case), "terminal", width=width).splitlines()
    assert [line for line in lines if len(line) > width and not line.startswith("  Command:")] == []


def test_sections_come_in_order_and_verdicts_first() -> None:
    text = render(view("troubled"), "terminal")
    places = [text.index(f"\n{title}\n") for title in SECTIONS]
    assert places == sorted(places)
    assert text.index("is faster than") < places[0]


def test_the_end_of_a_run_says_what_was_measured_and_what_else_differs() -> None:
    text = render(view("faster"), "brief", width=80)
    values = text.partition("Values by treatment")[2].partition("Validity gates")[0]
    assert re.search(r"throughput +synchronous_commit=on +[0-9,]+/s", values)
    assert "p99" in values
    said = " ".join(text.partition("Intervals")[0].split())
    assert "The verdict is about throughput, the first metric. Also: service time p99 is faster" in said
    run = view("faster")
    alone = tuple(one for one in run.summary.comparisons if one.metric == "throughput")
    text = render(run._replace(summary=replace(run.summary, comparisons=alone)), "brief", width=80)
    assert "The verdict is about" not in text


def test_color_only_adds_styles() -> None:
    plain = render(view("troubled"), "terminal", width=100)
    colored = render(view("troubled"), "terminal", width=100, color=True)
    assert "\x1b[" in colored
    stripped = re.sub(r"\x1b\[[0-9;]*m", "", colored)
    assert [line.rstrip() for line in stripped.splitlines() if line.strip()] == [
        line for line in plain.splitlines() if line
    ]


def test_json_has_the_documented_shape() -> None:
    said = json.loads(render(view("inconclusive"), "json"))
    assert list(said) == [
        "schema", "run", "path", "state", "validity", "grade", "trials", "comparisons", "metrics", "gates",
        "series", "counters", "events", "hosts", "start", "pilot", "tuning",
    ]  # fmt: skip
    assert said["schema"] == 1
    assert list(said["trials"]) == ["planned", "ok", "suspect", "invalid", "failed"]
    assert [tuple(comparison) for comparison in said["comparisons"]] == [COMPARISON_KEYS] * 2
    documented = Path(__file__).parents[2] / "docs" / "reference" / "json.md"
    assert [key for key in COMPARISON_KEYS if f"`{key}`" not in documented.read_text(encoding="utf-8")] == []


def test_json_says_null_where_there_is_no_figure() -> None:
    first = json.loads(render(view("nothing"), "json"))["comparisons"][0]
    assert first["n"] == 0
    assert [first[key] for key in ("effect", "low", "high", "p", "detectable")] == [None] * 5


def test_csv_has_a_row_for_each_trial_and_metric() -> None:
    run = view("several")
    rows = list(csv.DictReader(io.StringIO(render(run, "csv"))))
    assert len(rows) == len(run.trials) * 7
    first, trial = rows[0], run.trials[0]
    assert float(first["value"]) == trial.result.metrics["throughput"].value
    assert first["workload.clients"] == trial.levels["workload.clients"]
    assert first["open_loop"] == "false"


def test_csv_leaves_a_missing_percentile_empty() -> None:
    rows = list(csv.DictReader(io.StringIO(render(view("inconclusive"), "csv"))))
    assert {row["value"] for row in rows if row["metric"] == "latency_p999"} == {""}


@pytest.mark.parametrize("form", ["terminal", "html", "markdown"])
def test_a_closed_loop_gives_service_time_and_a_rate_gives_latency(form: Form) -> None:
    closed, open_loop = render(view("faster"), form), render(view("troubled"), form)
    assert "service time p99" in closed
    assert "latency p99" not in closed
    assert "latency p99" in open_loop
    assert "service time p99" not in open_loop


def test_a_percentile_that_the_sample_does_not_carry_is_a_dash() -> None:
    text = render(view("inconclusive"), "terminal", width=80)
    table = text[text.index("Service time, ms") :].splitlines()
    assert table[2].split() == ["treatment", "mean", "p50", "p95", "p99", "p99.9"]
    assert [row.split()[-1] for row in table[4:6]] == ["–", "–"]


def test_the_load_generator_has_a_version_also_where_its_output_does_not_tell() -> None:
    run = view("faster")
    silent = tuple(
        replace(trial, loader_version="4.1.0", result=replace(trial.result, version=""))
        for trial in run.trials
    )
    assert "pgbench 4.1.0" in render(run._replace(trials=silent), "terminal", width=80)


def test_the_command_to_reproduce_repeats_what_set_changed() -> None:
    run = view("faster")
    changed = {
        "design.blocks": "--set",
        "workload.duration": "--set",
        "dbms.version": "--set",
        "metrics": "--set",
    }
    text = render(run._replace(plan=replace(run.plan, origins=changed)), "terminal")
    command = next(line for line in text.splitlines() if "Command:" in line)
    assert command.endswith("""'--set=dbms.version="18"' --set=design.blocks=6 --set=workload.duration=5s""")
    assert "changed by --set" in text


def test_a_percentile_of_some_trials_only_is_not_shown() -> None:
    run = view("faster")
    some = tuple(replace(m, n=2) if m.metric == "latency_p999" else m for m in run.summary.metrics)
    text = render(run._replace(summary=replace(run.summary, metrics=some)), "terminal", width=80)
    rows = text[text.index("Service time, ms") :].splitlines()[4:6]
    assert [row.split()[-1] for row in rows] == ["–", "–"]
    assert "–" not in " ".join(row.split()[-2] for row in rows)


@pytest.mark.parametrize("form", ["terminal", "html", "markdown", "json"])
def test_no_secret_is_shown(form: Form) -> None:
    run = view("hostile")
    run = run._replace(
        experiment_text="dbms: {settings: {password: hunter2}}\nurl: postgresql://me:hunter2@host/db\n"
    )
    assert "hunter2" not in render(run, form)


@pytest.mark.parametrize("form", ["terminal", "html", "markdown"])
def test_control_characters_are_shown_not_sent(form: Form) -> None:
    text = render(view("hostile"), form).partition('<script type="application/json"')[0]
    assert "\x1b" not in text
    assert "\\x1b" in text


def test_markdown_tables_keep_their_columns_whatever_is_in_them() -> None:
    text = render(view("hostile"), "markdown")
    assert "<script" not in text.replace("\\<script", "").partition("```")[0]
    tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    assert len(tables) > 6
    for table in tables:
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table


def test_a_fence_in_outside_text_cannot_end_the_code() -> None:
    text = render(view("faster")._replace(experiment_text="a: |\n  ```\n  # not a title\n"), "markdown")
    assert "````\na: |\n  ```\n" in text


def test_hostile_markup_reaches_the_terminal_as_text() -> None:
    text = render(view("hostile"), "terminal", width=200)
    assert "[red]|*`&" in text
    assert HOSTILE not in text


def test_what_inconclusive_would_need_is_said() -> None:
    text = " ".join(render(view("inconclusive"), "terminal").split())
    assert "No verdict on work_mem=64MB against 4MB" in text
    assert "this run mostly finds a difference of" in text
    assert "More blocks, longer trials or a quieter host" in text


@pytest.mark.parametrize("form", FORMS)
def test_trials_that_took_less_than_a_second_have_no_series_to_show(form: Form) -> None:
    run = view()
    results = [replace(trial.result, series={"throughput": ()}) for trial in run.trials]
    trials = tuple(replace(trial, result=result) for trial, result in zip(run.trials, results, strict=True))
    text = render(run._replace(trials=trials), form)
    assert form not in {"terminal", "markdown"} or "gave no one-second series" in " ".join(text.split())


def test_without_factors_the_value_is_the_finding() -> None:
    text = " ".join(render(view("plain"), "terminal").split())
    assert "Nothing was compared: the experiment has no factors. throughput was 1," in text


@pytest.mark.parametrize("form", ["terminal", "html", "markdown"])
def test_a_run_that_failed_says_why_and_shows_no_empty_figures(form: Form) -> None:
    failed = view("nothing")._replace(reason="db-1:\n  init ended with 127")
    text = render(failed, form)
    assert "failed: db-1: init ended with 127" in text
    assert "Values by treatment" not in text
    assert "Values by treatment" in render(view("faster"), form)


def test_a_run_without_trials_says_so() -> None:
    text = " ".join(render(view("nothing"), "terminal").split())
    assert "has no pairs that can be compared" in text
    assert "12 trials planned: 12 failed" in text


def going_on(done: int) -> RunView:
    """A run as it looks while it goes on: `done` trials of twelve have finished."""
    run = view("faster")
    summary = replace(run.summary, state="running", validity="ok" if done else None)
    if not done:
        summary = replace(summary, comparisons=(), metrics=(), gates=())
    return run._replace(summary=summary, trials=run.trials[:done], ended=None)


@pytest.mark.parametrize("form", ["terminal", "brief", "html", "markdown"])
@pytest.mark.parametrize("done", [0, 3])
def test_a_run_that_goes_on_has_no_validity_yet(form: Form, done: int) -> None:
    text = render(going_on(done), form)
    assert f"running: {done} of 12 trials" in text.replace("\N{NO-BREAK SPACE}", " ")
    assert "invalid" not in text.partition("</style>")[2 if form == "html" else 0].partition("<script")[0]


def test_a_run_that_goes_on_without_a_trial_says_so_and_json_is_null() -> None:
    assert "No trial has finished yet." in render(going_on(0), "terminal")
    said = json.loads(render(going_on(0), "json"))
    assert (said["state"], said["validity"]) == ("running", None)


def test_lines_of_a_failure_stay_lines() -> None:
    reason = "localhost: postgresql-1 was killed\n  its last lines:\n    FATAL: one\n    LOG: two"
    run = view("troubled")
    run = run._replace(failures=(run.failures[0]._replace(reason=reason),))
    text = render(run, "terminal", width=100)
    assert [line.strip() for line in text.splitlines() if line.strip() in {"FATAL: one", "LOG: two"}] == [
        "FATAL: one", "LOG: two",
    ]  # fmt: skip
    assert "FATAL: one<br>    LOG: two" in render(run, "markdown")
    assert "FATAL: one\n    LOG: two" in render(run, "html")


def test_trials_of_a_make_up_block_are_counted_apart() -> None:
    run = view("troubled")
    counts = TrialCounts(planned=16, ok=17, failed=1)
    text = render(run._replace(summary=replace(run.summary, trials=counts)), "terminal")
    assert "16 trials planned and 2 made up: 17 ok and 1 failed" in text


def test_a_a_is_called_what_it_is() -> None:
    assert "an A/A comparison; any difference is noise" in " ".join(render(view("aa"), "terminal").split())


def test_a_level_that_would_be_a_path_of_rich_or_html_is_kept_whole() -> None:
    case = Case(factors=(FactorCase("build", {"main": 1.0, "a&b [x]": 1.5}, "install"),))
    assert "build=a&b [x] is faster" in render(view(case), "terminal", width=200)
    assert "build=a&amp;b [x] is faster" in render(view(case), "html")


def test_the_brief_form_is_the_beginning_of_the_whole_one() -> None:
    faster = view("faster")
    brief, whole = render(faster, "brief"), render(faster, "terminal")
    assert whole.startswith(brief.split("\nIntervals\n")[0])
    assert "Validity gates" in brief
    assert "How to reproduce" not in brief
