"""How far the scales of figures reach when one interval is much wider than the others."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from benchctl.report import render, scale
from benchctl.report.figures import Figure, make
from benchctl.report.words import Names
from tests.unit.report_data import view

if TYPE_CHECKING:
    from benchctl.results.view import RunView

WIDE = {"effect": 0.2, "low": -0.97, "high": 77.14}


def with_comparison(run: RunView, index: int, **change: float | None) -> RunView:
    found = list(run.summary.comparisons)
    found[index] = replace(found[index], **change)
    return run._replace(summary=replace(run.summary, comparisons=tuple(found)))


def figures(run: RunView, section: str) -> list[Figure]:
    return make(run, Names(run))[section]


def test_a_wide_interval_leaves_room_for_the_others() -> None:
    run = with_comparison(view("equivalent"), 1, **WIDE)
    span = scale.of_comparisons(run.summary.comparisons)
    assert span is not None
    assert math.expm1(span.high) < 2
    assert span.is_inside(scale.place(0.2))
    assert not span.is_inside(scale.place(77.14))


@pytest.mark.parametrize(("high", "shown"), [(0.9, 0.9), (77.14, 3.0)])
def test_an_only_interval_does_not_hide_the_limits_of_equivalence(high: float, shown: float) -> None:
    (first, *_) = view("equivalent").summary.comparisons
    span = scale.of_comparisons([replace(first, effect=0.2, low=-0.3, high=high)])
    assert span is not None
    assert math.expm1(span.high) == pytest.approx(shown)


def test_effects_are_never_cut() -> None:
    (first, *_) = view("equivalent").summary.comparisons
    span = scale.of_comparisons([replace(first, effect=50.0, low=40.0, high=60.0)])
    assert span is not None
    assert span.is_inside(scale.place(60.0))


def test_intervals_that_are_all_wide_are_shown_whole() -> None:
    (first, *_) = view("equivalent").summary.comparisons
    alike = replace(first, effect=0.01, low=-0.3, high=0.5)
    span = scale.of_comparisons([alike, alike, alike])
    assert span is not None
    assert math.expm1(span.high) == pytest.approx(0.5)


def test_without_an_effect_there_is_no_scale_and_no_axis() -> None:
    run = view("faster")
    for index in range(2):
        run = with_comparison(run, index, effect=None, low=None, high=None)
    assert scale.of_comparisons(run.summary.comparisons) is None
    assert figures(run, "intervals") == []
    text = render(run, "terminal", width=80)
    assert "\N{MINUS SIGN}4.76 %" not in text
    assert "┊" not in text


def test_arrows_stand_where_an_interval_goes_on() -> None:
    run = with_comparison(view("equivalent"), 1, **WIDE)
    (forest,) = figures(run, "intervals")
    arrows = [t["marker"]["symbol"] for t in forest.data if "triangle-r" in str(t["marker"]["symbol"])]
    assert arrows == ["triangle-right"]
    assert "an arrow: the interval goes on" in forest.title
    assert "+7,714 %" in json.dumps(forest.layout, ensure_ascii=False)
    text = render(run, "terminal", width=100)
    row = next(line for line in text.splitlines() if "+7,714 %" in line)
    assert "→" in row
    assert "→" not in render(view("equivalent"), "terminal", width=100)


def test_half_as_fast_is_as_far_away_as_twice_as_fast() -> None:
    assert scale.place(-0.5) == pytest.approx(-scale.place(1.0))


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (-0.05, 0.06, [-0.04, -0.02, 0, 0.02, 0.04, 0.06]),
        (-0.5, 1.0, [-0.4, -0.2, 0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-0.9, 9.0, [-0.9, -0.8, -0.5, 0, 1, 4, 9]),
        (-0.98, 77.0, [-0.9, 0, 9]),
    ],
)
def test_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    found = scale.ticks(scale.Span(math.log1p(low) - 1e-9, math.log1p(high) + 1e-9))
    assert found == pytest.approx(ticks, abs=1e-9)


def test_the_interval_of_two_trials_does_not_hide_them() -> None:
    run = view("faster")
    wide = tuple(replace(m, low=1.0, high=90_000.0) for m in run.summary.metrics)
    run = run._replace(summary=replace(run.summary, metrics=wide))
    strip = figures(run, "distributions")[0]
    shown = [x for trace in strip.data for x in trace["x"]]
    values = [trial.result.metrics["throughput"].value or 0.0 for trial in run.trials]
    assert min(shown) >= 0
    assert max(shown) < 3 * max(values)
    assert "90,000/s" in [text for trace in strip.data for text in trace.get("text", ())]
    assert strip.layout["xaxis"]["rangemode"] == "nonnegative"


def test_values_below_zero_may_be_shown() -> None:
    assert scale.of_values([-1.0, 2.0]).low < -1
    assert scale.of_values([1.0, 2.0]).low == 0
    assert scale.of_values([5.0, 5.0]).is_inside(5.0)


def test_a_failed_trial_leaves_a_mark_and_a_make_up_block_a_band() -> None:
    run = view("troubled")
    (order,) = figures(run, "order")
    assert [mark["x"] for mark in order.layout["annotations"]] == [6, 13]
    assert "†: failed" in order.title
    last = replace(run.trials[-1], ordinal=18, block=10)
    (order,) = figures(run._replace(trials=(*run.trials, last)), "order")
    assert order.layout["shapes"][-1]["x0"] == 17.5
