"""The time of day set by an hour: limits do not see it, and a trial that lived through it is invalid."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from benchctl import gates
from benchctl.benchmark.evaluation import evaluate, measured
from benchctl.model.experiment import Limits
from tests.builders import plan
from tests.unit.test_benchmark_executor import Rig

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.benchmark.evaluation import Evaluation
    from benchctl.model.measurement import Trial

HOUR = 3600.0


def judge_again(rig: Rig, trial: Trial) -> Evaluation:
    return evaluate(
        rig.store.trial_folder(trial.ordinal) / "raw",
        measured(trial),
        workload=rig.bench.plan.treatment(trial.treatment).workload,
        units=rig.bench.plan.units,
        context=gates.Context(shared_host=True, grade="D"),
    )


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_limits_do_not_see_a_clock_that_was_set(tmp_path: Path, step: float) -> None:
    rig = Rig(tmp_path, plan(blocks=2, limits=Limits(trial=60.0, run=120.0)))

    def set_clock(_: dict[str, Any]) -> dict[str, Any]:
        rig.set_ahead += step
        return {"pid": 1, "seconds": 0.0}

    rig.agent.script("stats", *[lambda args: set_clock(args) and {"counters": {}}] * 8)
    rig.run()
    trials = rig.store.trials()
    assert len(trials) == 4
    assert all(0 <= seconds < 60 for trial in trials for seconds in trial.phases.values())


def test_a_limit_still_ends_a_trial_while_the_clock_runs_backwards(tmp_path: Path) -> None:
    rig = Rig(tmp_path, plan(blocks=1, limits=Limits(trial=10.0)))

    def slow(_: dict[str, Any]) -> dict[str, Any]:
        rig.now += 11
        rig.set_ahead -= HOUR
        return {"seconds": 11.0, "method": "copy", "why": "", "counted": False}

    rig.agent.script("reset", slow)
    rig.run()
    assert [trial.ordinal for trial in rig.store.trials()] == [2]


@pytest.mark.parametrize("step", [HOUR, -HOUR])
@pytest.mark.parametrize("at", [1, 2, 16, -2, -1])
def test_a_step_at_any_moment_of_the_window_makes_the_trial_invalid(
    tmp_path: Path, step: float, at: int
) -> None:
    rig = Rig(tmp_path, plan(blocks=1))
    rig.run()
    trial = rig.store.trials()[0]
    raw = rig.store.trial_folder(1) / "raw" / "fake"
    samples = raw / "host.samples"
    head, *lines = map(json.loads, samples.read_text().splitlines())
    later = [sample | {"t": sample["t"] + step} for sample in lines[at:]]
    samples.write_text("".join(json.dumps(line) + "\n" for line in (head, *lines[:at], *later)))
    judged = judge_again(rig, trial)
    assert (trial.validity, judged.validity) == ("ok", "invalid")
    (finding,) = [f for f in judged.findings if f.gate == "clock_step"]
    assert finding.value == pytest.approx(HOUR, rel=0.001)


def test_a_sampler_preempted_between_two_clocks_is_no_step(tmp_path: Path) -> None:
    rig = Rig(tmp_path, plan(blocks=1))
    rig.run()
    trial = rig.store.trials()[0]
    raw = rig.store.trial_folder(1) / "raw" / "fake"
    for late in (0, 5, -1):
        head, *lines = map(json.loads, (raw / "host.samples").read_text().splitlines())
        lines[late]["t"] -= 0.9
        (raw / "host.samples").write_text("".join(json.dumps(line) + "\n" for line in (head, *lines)))
    judged = judge_again(rig, trial)
    assert judged.validity == "ok"
