"""Runs trials one after the other from an iterator; a fixed plan is one source of them.

Owns what a failed trial does to the run. Must not decide what a trial is, and must not call Ansible.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from benchctl.benchmark.course import WorkloadCourse
from benchctl.benchmark.trial import TrialRun
from benchctl.errors import AgentError, ConnectionLostError, InterruptedRunError, RunStateError, StepError
from benchctl.model.event import TrialEnded, TrialFailed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchctl.benchmark.bench import Bench
    from benchctl.benchmark.course import Courses
    from benchctl.model.plan import PlannedTrial

HELLO_LIMIT = 30.0  # seconds


def run_trials(trials: Iterable[PlannedTrial], bench: Bench, courses: Courses = WorkloadCourse) -> None:
    """Run every trial that is not done yet.

    Raises:
        StepError: when `on_failure` is stop, or when as many trials in a row failed as there are treatments.
        ConnectionLostError, RunStateError: when the host or the run directory is gone.
        AgentError: when the agent does not answer any more.
        InterruptedRunError: when a stop was asked for; the trial in hand is given up, finished ones stay.
    """
    limits, design = bench.plan.experiment.limits, bench.plan.experiment.design
    ends = bench.timer() + limits.run
    failures_in_a_row = 0
    for planned in trials:
        if bench.sink.is_done(planned.ordinal):
            continue
        bench.cancel.check()
        if bench.timer() > ends:
            raise StepError(
                f"limits.run, {limits.run:g} s, passed before trial {planned.ordinal}",
                remedy="`benchctl resume` runs the trials that are missing",
            )
        try:
            _run(planned, bench, courses)
            failures_in_a_row = 0
        except (ConnectionLostError, RunStateError):
            raise  # no later trial can do better
        except StepError as error:
            bench.listener(TrialFailed(ordinal=planned.ordinal, reason=str(error)))
            if isinstance(error, AgentError):
                bench.fleet.each("hello", timeout=HELLO_LIMIT)  # a silent one fails all later trials too
            failures_in_a_row += 1
            if design.on_failure == "stop":
                raise
            if failures_in_a_row >= len(bench.plan.treatments):
                error.remedy = "; ".join(filter(None, (error.remedy, _given_up(failures_in_a_row))))
                raise


def _given_up(failures: int) -> str:
    trials = "the only treatment" if failures == 1 else f"{failures} trials in a row, one of each treatment,"
    return (
        f"{trials} failed, so the rest was not tried; `resume` keeps the plan: a changed file needs a new run"
    )


def _run(planned: PlannedTrial, bench: Bench, courses: Courses) -> None:
    begin = bench.timer()
    try:
        with bench.journal.act("trial", ordinal=planned.ordinal, treatment=planned.treatment) as act:
            try:
                treatment = bench.plan.treatment(planned.treatment)
                trial = TrialRun(bench, planned, treatment, courses).run()
            except InterruptedRunError:
                act.learned(interrupted=True)  # given up, which is no failure
                raise
            act.learned(validity=trial.validity)
    except OSError as error:
        raise RunStateError(
            f"trial {planned.ordinal} could not be stored: {error}",
            remedy="free space on the workspace's file system, then `benchctl resume` the run",
        ) from error
    except BaseException:
        with suppress(OSError):  # on a full disk; the next attempt does it
            bench.sink.abandon(planned.ordinal)
        raise
    bench.listener(TrialEnded(trial=trial, seconds=bench.timer() - begin))
