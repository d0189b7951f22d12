"""The courses of trials and the growth of counters, as they enter the summary and the reports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from benchctl.analysis import summarise
from benchctl.analysis.courses import checkpoints, growth
from benchctl.report import render
from benchctl.results.view import RunView
from tests import builders

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchctl.model.comparison import Summary
    from benchctl.model.measurement import Trial
    from benchctl.model.record import Scalar

FLAT = (100.0,) * 20
WARM = (50.0,) * 8 + (100.0,) * 20


def trial(
    ordinal: int,
    series: tuple[float, ...] = FLAT,
    *,
    after: Mapping[str, Scalar] | None = None,
    before: Mapping[str, Scalar] | None = None,
) -> Trial:
    """Counters that are told only for after the load begin at 0."""
    made, after = builders.trial(ordinal), dict(after or {})
    return replace(
        made,
        result=replace(made.result, series={"latency_mean": FLAT, "throughput": series}),
        counters_before=dict.fromkeys(after, 0) if before is None else dict(before),
        counters_after=after,
    )


def summary(*trials: Trial) -> Summary:
    return summarise(builders.plan(), trials, run="r", state="finished", failed=0, planned=4, grade="B")


def view(*trials: Trial) -> RunView:
    return RunView(
        Path("r"), summary(*trials), builders.plan(), "name: test\n", trials, (), {}, 0.0, 1.0, "0"
    )


def test_the_series_of_the_primary_metric_is_classified() -> None:
    found = summary(trial(1), trial(2, WARM)).series
    assert [(c.ordinal, c.series, c.klass) for c in found] == [
        (1, "throughput", "flat"),
        (2, "throughput", "warm-up"),
    ]
    assert summary(builders.trial(1)).series == ()


def test_without_the_primary_metric_the_first_series_is() -> None:
    made = trial(1)
    slower = (5.0,) * 8 + (9.0,) * 12
    made = replace(made, result=replace(made.result, series={"latency_mean": slower}))
    (found,) = summary(made).series
    assert (found.series, found.klass) == ("latency_mean", "slowdown")


def test_what_is_not_flat_is_noted_and_counts() -> None:
    made = summary(trial(1), trial(2, WARM), trial(3, WARM), trial(4))
    (note,) = [note for note in made.notes if "Second by second" in note]
    assert "throughput is not flat: warm-up in trials 2, 3" in note
    assert "workload.warmup" in note
    assert made.comparisons[0].n == 2
    assert not any("Second by second" in note for note in summary(trial(1), trial(2)).notes)


def test_counters_grow_by_what_is_between_the_readings() -> None:
    made = trial(
        1,
        before={"a.x": 5, "a.reset": 9, "a.text": "1"},
        after={"a.x": 12, "a.reset": 1, "a.text": "2", "b": 3},
    )
    assert growth(made) == {"a.x": 7.0}


def test_counters_are_summed_up_by_treatment_without_those_that_stand_still() -> None:
    sizes = {1: 100, 2: 10, 3: 300}
    made = [trial(n, after={"wal.bytes": size, "idle": 0}) for n, size in sizes.items()]
    invalid = replace(trial(4, after={"wal.bytes": 10**9, "idle": 7}), validity="invalid")
    found = summary(*made, invalid).counters
    assert [(c.treatment, c.counter, c.n, c.mean, c.least, c.most) for c in found] == [
        ("t01", "wal.bytes", 2, 200.0, 100.0, 300.0),
        ("t02", "wal.bytes", 1, 10.0, 10.0, 10.0),
    ]


@pytest.mark.parametrize(
    ("counters", "number"),
    [
        ({"checkpointer.num_done": 1, "checkpointer.num_requested": 2, "checkpointer.num_timed": 0}, 1),
        ({"checkpointer.num_done": 0, "checkpointer.num_requested": 2}, 0),
        ({"checkpointer.num_requested": 1, "checkpointer.num_timed": 1}, 2),
        ({"bgwriter.checkpoints_timed": 0, "bgwriter.checkpoints_req": 1}, 1),
        ({}, 0),
    ],
)
def test_checkpoints_are_counted_for_each_version_of_postgresql(
    counters: dict[str, int], number: int
) -> None:
    assert checkpoints(trial(1, after=counters)) == number


def test_trials_with_a_checkpoint_are_noted() -> None:
    made = summary(trial(1), trial(2, after={"checkpointer.num_done": 1}))
    assert "A checkpoint of the DBMS happened under load in trial 2." in made.notes
    every = [trial(n, after={"checkpointer.num_done": 1}) for n in (1, 2)]
    assert "A checkpoint of the DBMS happened under load in every trial." in summary(*every).notes


def test_a_note_names_twenty_trials_at_most() -> None:
    many = [replace(trial(2, WARM), ordinal=n, block=n) for n in range(1, 31)]
    (note,) = [note for note in summary(*many).notes if "Second by second" in note]
    assert "18, 19, 20 and 10 more;" in note


@pytest.mark.parametrize("form", ["terminal", "markdown", "html"])
def test_reports_show_courses_and_counters(form: str) -> None:
    said = render(view(trial(1, after={"io.fsyncs": 7}), trial(2, WARM, after={"io.fsyncs": 3})), form)  # type: ignore[arg-type]
    plain = said.replace("\\_", "_").replace("\N{NO-BREAK SPACE}", " ")
    assert "Trials that are not flat" in plain
    assert "from second 9" in plain
    assert "1 flat and 1 warm-up" in plain
    assert "What the DBMS counted" in plain
    assert "io.fsyncs" in plain


def test_reports_say_nothing_of_what_a_run_does_not_have() -> None:
    said = render(view(builders.trial(1), builders.trial(2)), "terminal")
    assert "What the DBMS counted" not in said
    assert "not flat" not in said


def test_all_flat_or_too_short_is_one_sentence() -> None:
    assert "all trials are flat" in render(view(trial(1), trial(2)), "markdown")
    short = render(view(trial(1, FLAT[:5]), trial(2, FLAT[:5])), "markdown")
    assert "too short to say" in short
    assert "not flat" not in short
