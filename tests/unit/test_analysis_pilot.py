"""The pilot: its plan, what it teaches, and how that is shown."""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from benchctl.analysis.pairs import contrasts
from benchctl.analysis.pilot import evaluate
from benchctl.analysis.summary import summarise
from benchctl.model.measurement import Quantity
from benchctl.model.plan import PilotOf
from benchctl.model.units import format_duration
from benchctl.plan import make
from benchctl.plan.pilot import BLOCKS, make_pilot
from benchctl.report import Form, render
from benchctl.spec import load
from benchctl.statistics.power import pairs_needed
from tests import builders
from tests.unit.report_data import view

if TYPE_CHECKING:
    from benchctl.model.measurement import Trial
    from benchctl.model.plan import Plan
    from benchctl.results.view import RunView

PILOT_OF = PilotOf(experiment="my.yml", comparisons=1, blocks=10, expected_seconds=600.0)
PILOT = replace(builders.plan(), pilot=PILOT_OF, sets=("workload.duration=9s", "design.blocks=10"))
VALUES = {1: (100.0, 103.0), 2: (110.0, 106.0), 3: (95.0, 97.0)}


def trials(*, spread: bool = True) -> list[Trial]:
    made = []
    for block, pair in VALUES.items():
        for position, value in enumerate(pair if spread else (100.0, 100.0), start=1):
            trial = builders.trial(2 * block - 2 + position, throughput=value)
            series = {"throughput": (90.0, 100.0, 110.0)}
            made.append(replace(trial, result=replace(trial.result, series=series)))
    return made


def test_the_pilot_is_the_baseline_against_itself() -> None:
    spec = load("pg-work-mem")
    real, pilot = make(spec), make_pilot(spec, "pg-work-mem")
    assert pilot.experiment.name == "pg-work-mem-pilot"
    assert len(pilot.trials) == 2 * BLOCKS
    assert [t.levels for t in pilot.treatments] == [{"pilot": "first"}, {"pilot": "second"}]
    baseline = real.treatments[0]
    for treatment in pilot.treatments:
        assert (treatment.dbms, treatment.workload) == (baseline.dbms, baseline.workload)
        assert (treatment.instance, treatment.image) == (baseline.instance, baseline.image)
    assert {i.id for i in pilot.images} == {baseline.image}
    assert pilot.factors[0].scope is None
    assert make_pilot(spec, "pg-work-mem") == pilot
    assert pilot.pilot is not None
    assert pilot.pilot.expected_seconds == real.expected_seconds


@pytest.mark.parametrize("name", ["quickstart", "clients-sweep", "stages-example"])
def test_a_pilot_knows_how_many_comparisons_the_experiment_has(name: str) -> None:
    spec = load(name)
    about = make_pilot(spec, name).pilot
    assert about is not None
    assert about.comparisons == len(tuple(contrasts(make(spec))))
    assert about.blocks == spec.experiment.design.blocks


def test_the_longest_name_leaves_room() -> None:
    spec = load("quickstart")
    long = spec._replace(experiment=replace(spec.experiment, name="x" * 63))
    assert make_pilot(long, "long").experiment.name == "x" * 57 + "-pilot"


def test_blocks_are_counted_for_the_spread_inside_blocks_and_all_comparisons() -> None:
    metric = PILOT.experiment.metrics[0]
    latency = replace(metric, name="latency_p99", delta=0.05)
    pilot = replace(PILOT, experiment=replace(PILOT.experiment, metrics=(metric, latency)))
    found, missing = evaluate(pilot, trials())
    assert found.trials == 6
    assert found.cv_second == pytest.approx(0.1)
    assert found.cv_trial is not None
    assert found.cv_trial_high is not None
    assert found.cv_trial < found.cv_trial_high
    assert found.cv_block is not None
    assert found.cv_block > found.cv_trial
    for needed in found.blocks:
        wanted = {"alpha": 0.05 / 2, "power": needed.power}
        assert needed.expected == pairs_needed(metric.delta, found.cv_trial, **wanted)
        assert needed.cautious == pairs_needed(metric.delta, found.cv_trial_high, **wanted)
    assert (missing.trials, missing.cv_trial, missing.blocks[0].expected) == (0, None, None)


def test_no_spread_at_all_promises_nothing() -> None:
    (found,) = evaluate(PILOT, trials(spread=False))
    assert found.cv_trial == 0
    assert [needed.expected for needed in found.blocks] == [None, None]


def test_invalid_trials_and_values_of_zero_leave() -> None:
    made = trials()
    made[0] = replace(made[0], validity="invalid")
    zero = {"throughput": Quantity(value=0.0, unit="1/s")}
    made[2] = replace(made[2], result=replace(made[2].result, metrics=zero))
    (found,) = evaluate(PILOT, made)
    assert found.trials == 4


def test_more_blocks_than_anybody_runs_are_not_a_number() -> None:
    tiny = replace(PILOT.experiment.metrics[0], delta=1e-6)
    (found,) = evaluate(replace(PILOT, experiment=replace(PILOT.experiment, metrics=(tiny,))), trials())
    assert found.blocks[0].expected is None


def seen(of: Plan, made: list[Trial]) -> RunView:
    """The pilot's run as its report sees it."""
    found = summarise(of, made, run="r", state="finished", failed=0, planned=6, grade="B")
    run = view("faster")
    return run._replace(summary=found, plan=of, trials=tuple(made), failures=())


@pytest.mark.parametrize("form", ["terminal", "brief", "html", "markdown"])
def test_the_report_begins_with_the_blocks_needed_and_has_no_verdict(form: Form) -> None:
    run = seen(PILOT, trials())
    text = " ".join(html.unescape(render(run, form)).replace("\N{NO-BREAK SPACE}", " ").split())
    wanted = run.summary.pilot[0].blocks[0].expected
    assert wanted is not None
    assert "nothing to compare" in text
    assert "benchctl plan my.yml --set=workload.duration=9s --cv" in text
    assert f"benchctl run my.yml --set=workload.duration=9s --set=design.blocks={wanted}" in text
    assert f"{format_duration(PILOT_OF.expected_seconds / PILOT_OF.blocks * wanted)}" in text
    assert not re.search("faster|slower|inconclusive|A/A", text.partition("</style>")[2] or text)
    assert run.summary.comparisons == ()
    assert "take longer than limits.run" not in text


def test_blocks_that_take_too_long_are_said_to() -> None:
    short = replace(PILOT.experiment, limits=replace(PILOT.experiment.limits, run=1.0))
    text = " ".join(render(seen(replace(PILOT, experiment=short), trials()), "brief").split())
    assert "take longer than limits.run, 1s: a quieter host" in text


def test_a_pilot_without_trials_promises_nothing() -> None:
    text = render(seen(PILOT, []), "brief")
    assert "benchctl run" not in text


def test_the_command_to_reproduce_is_a_pilot_too() -> None:
    assert "/experiment.yml --pilot" in render(seen(PILOT, trials()), "terminal")


def test_json_carries_every_figure() -> None:
    run = seen(PILOT, trials())
    shape = json.loads(render(run, "json"))
    (metric,) = shape["pilot"]
    found = run.summary.pilot
    assert metric["cv_trial"] == found[0].cv_trial
    assert metric["blocks"][0] == {
        "power": 0.8,
        "expected": found[0].blocks[0].expected,
        "cautious": found[0].blocks[0].cautious,
    }


def test_an_ordinary_plan_is_no_pilot() -> None:
    assert evaluate(builders.plan(), trials()) == ()
