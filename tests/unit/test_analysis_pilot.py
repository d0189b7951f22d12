"""The pilot: its plan, what it teaches, and how that is shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from benchctl.analysis.pairs import contrasts
from benchctl.analysis.pilot import evaluate
from benchctl.model.measurement import Quantity
from benchctl.plan import make
from benchctl.plan.pilot import BLOCKS, make_pilot
from benchctl.report.pilot import to_json, to_terminal
from benchctl.spec import load
from benchctl.statistics.power import pairs_needed
from tests import builders

if TYPE_CHECKING:
    from benchctl.model.measurement import Trial

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
    real, pilot = make(spec), make_pilot(spec)
    assert pilot.experiment.name == "pg-work-mem-pilot"
    assert len(pilot.trials) == 2 * BLOCKS
    assert [t.levels for t in pilot.treatments] == [{"pilot": "first"}, {"pilot": "second"}]
    baseline = real.treatments[0]
    for treatment in pilot.treatments:
        assert (treatment.dbms, treatment.workload) == (baseline.dbms, baseline.workload)
        assert (treatment.instance, treatment.image) == (baseline.instance, baseline.image)
    assert {i.id for i in pilot.images} == {baseline.image}
    assert pilot.factors[0].scope is None
    assert make_pilot(spec) == pilot


def test_the_longest_name_leaves_room() -> None:
    spec = load("quickstart")
    long = spec._replace(experiment=replace(spec.experiment, name="x" * 63))
    assert make_pilot(long).experiment.name == "x" * 57 + "-pilot"


def test_blocks_are_counted_for_the_spread_inside_blocks_and_all_comparisons() -> None:
    real = builders.plan()
    metric = real.experiment.metrics[0]
    latency = replace(metric, name="latency_p99", delta=0.05)
    real = replace(real, experiment=replace(real.experiment, metrics=(metric, latency)))
    assert len(tuple(contrasts(real))) == 1
    found, missing = evaluate(real, trials())
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
    (found,) = evaluate(builders.plan(), trials(spread=False))
    assert found.cv_trial == 0
    assert [needed.expected for needed in found.blocks] == [None, None]


def test_invalid_trials_and_values_of_zero_leave() -> None:
    made = trials()
    made[0] = replace(made[0], validity="invalid")
    zero = {"throughput": Quantity(value=0.0, unit="1/s")}
    made[2] = replace(made[2], result=replace(made[2].result, metrics=zero))
    (found,) = evaluate(builders.plan(), made)
    assert found.trials == 4


def test_more_blocks_than_anybody_runs_are_not_a_number() -> None:
    real = builders.plan()
    tiny = replace(real.experiment.metrics[0], delta=1e-6)
    (found,) = evaluate(replace(real, experiment=replace(real.experiment, metrics=(tiny,))), trials())
    assert found.blocks[0].expected is None


def test_the_terminal_shows_what_comes_next() -> None:
    found = evaluate(builders.plan(), trials())
    real = builders.plan()
    said = to_terminal("my.yml", found, real)
    assert "benchctl plan my.yml --cv" in said
    assert f"--set design.blocks={found[0].blocks[0].expected}" in said
    assert "one time in five" in said
    unknown = to_terminal("my.yml", evaluate(real, []), real)
    assert "benchctl" not in unknown
    assert to_terminal("my.yml", (), real)
    short = replace(real.experiment, limits=replace(real.experiment.limits, run=1.0))
    assert "more than limits.run" not in said
    assert "more than limits.run, 1s" in to_terminal("my.yml", found, replace(real, experiment=short))


def test_json_carries_every_figure() -> None:
    found = evaluate(builders.plan(), trials())
    shape = json.loads(to_json("r", "runs/r", found))
    assert (shape["schema"], shape["run"]) == (1, "r")
    (metric,) = shape["pilot"]
    assert metric["cv_trial"] == found[0].cv_trial
    assert metric["blocks"][0] == {
        "power": 0.8,
        "expected": found[0].blocks[0].expected,
        "cautious": found[0].blocks[0].cautious,
    }
