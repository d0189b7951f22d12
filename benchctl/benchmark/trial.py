"""One trial from its first phase to its verdict: a course on the hosts, the fetch, the evaluation.

Owns what becomes of a course. Must leave no process behind, however a phase ends: each course sees to that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchctl.benchmark.attempt import Attempt
from benchctl.benchmark.course import SERVER_LOG, WorkloadCourse
from benchctl.benchmark.ending import ending
from benchctl.benchmark.evaluation import Measured, evaluate
from benchctl.errors import ServiceError, TaskError
from benchctl.model.measurement import TaskResult, Trial

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.benchmark.bench import Bench
    from benchctl.benchmark.course import Courses, Outcome
    from benchctl.benchmark.evaluation import Evaluation, Ran
    from benchctl.model.plan import PlannedTrial, Treatment

LAST_LINES = 5  # of each output that a failure's message carries


class TrialRun:
    """`run` is the only way in."""

    def __init__(
        self, bench: Bench, planned: PlannedTrial, treatment: Treatment, courses: Courses = WorkloadCourse
    ) -> None:
        """Take what to do; nothing happens before `run`."""
        self._bench = bench
        self._courses = courses
        self._attempt = Attempt(bench, planned, treatment)

    def run(self) -> Trial:
        """Return the finished trial, already in the sink. Raises StepError or InterruptedRunError."""
        bench, attempt = self._bench, self._attempt
        started = bench.clock()
        attempt.knobs.look()
        outcome = self._courses(attempt).run()
        with attempt.phase("fetch", hosts=outcome.loads.files):
            raw, files = attempt.fetch(outcome.loads.files, outcome.loads.read)
            files |= outcome.files | attempt.knobs.keep(outcome.loads.knobs, raw)
        removed = [
            bench.fleet[host].submit("remove", path=attempt.folder(host)) for host in outcome.loads.files
        ]
        _require_success(outcome, raw)
        with attempt.phase("evaluate"):
            judged = evaluate(
                raw,
                self._facts(outcome),
                workload=outcome.workload,
                units=bench.plan.units,
                context=bench.context,
            )
        trial = self._trial(started, outcome, files, judged)
        for pending in removed:
            pending.result(attempt.limit())
        bench.sink.finish(trial)
        return trial

    def _facts(self, outcome: Outcome) -> Measured:
        loads, treatment = outcome.loads, self._attempt.treatment.id
        known = self._bench.capacities
        ran = tuple(one._replace(capacity=known.get(one.host, {}).get(treatment)) for one in loads.ran)
        return Measured(outcome.host, loads.window, ran, loads.start, outcome.server)

    def _trial(self, started: float, outcome: Outcome, files: dict[str, str], judged: Evaluation) -> Trial:
        attempt = self._attempt
        return Trial(
            ordinal=attempt.planned.ordinal,
            block=attempt.planned.block,
            position=attempt.planned.position,
            treatment=attempt.treatment.id,
            levels=attempt.treatment.levels,
            seed=attempt.planned.seed,
            host=outcome.host,
            attempt=attempt.number,
            started=started,
            phases=attempt.phases,
            window=outcome.loads.window,
            load=_as_one(outcome.loads.ran, outcome.loads.start.at),
            start=outcome.loads.start,
            server=outcome.server,
            counters_before=outcome.before,
            counters_after=outcome.after,
            loader_version=outcome.loader_version,
            files=files,
            **judged._asdict(),
        )


def _as_one(ran: tuple[Ran, ...], at: float) -> TaskResult:
    """All loads as one task, in the controller's clock; the only one as its host saw it."""
    first = ran[0].task
    if len(ran) == 1:
        return first
    return TaskResult(
        argv=first.argv,
        exit=max((one.task.exit for one in ran), key=abs),
        start=at + min(one.began for one in ran),
        end=at + max(one.began + one.task.end - one.task.start for one in ran),
        cpu_user=sum(one.task.cpu_user for one in ran),
        cpu_system=sum(one.task.cpu_system for one in ran),
        max_rss=max(one.task.max_rss for one in ran),
        timed_out=any(one.task.timed_out for one in ran),
    )


def _require_success(outcome: Outcome, raw: Path) -> None:
    """Raise ServiceError for a server that died, TaskError for loads that failed, with their last words."""
    if outcome.broken:
        raise ServiceError(outcome.broken)
    if outcome.death:
        instance = outcome.server.instance if outcome.server else "the server"
        said = "".join(f"\n    {line}" for line in _last(raw / outcome.host / SERVER_LOG))
        raise ServiceError(
            f"{outcome.host}: {instance} {outcome.death} in mid-trial\n  its last lines:{said}"
        )
    failed = [ran for ran in outcome.loads.ran if ran.host in outcome.loads.failures]
    if failed:
        several = len(outcome.loads.ran) > 1
        who = outcome.load or outcome.workload.role
        told = [_failure(who, ran, raw / ran.host, named=several or bool(outcome.load)) for ran in failed]
        raise TaskError("\n".join(told))


def _failure(who: str, ran: Ran, raw: Path, *, named: bool) -> str:
    """Say how a load generator ended, with the last lines it wrote."""
    load = ran.task
    how = ending(load.exit, timed_out=load.timed_out)
    who = f"{ran.host}: {who}" if named else who
    said = [line for name in ("stderr", "stdout") for line in _last(raw / name)]
    return "\n".join([f"{who} {how} after {load.end - load.start:.1f} s", *said])


def _last(path: Path) -> list[str]:
    return path.read_text(errors="replace").splitlines()[-LAST_LINES:] if path.exists() else []
