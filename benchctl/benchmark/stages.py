"""Stages of an experiment, run: rows side by side, services that outlive trials, the measured stage.

Owns which stages a trial needs anew, and that every service is stopped in reverse order on every way out.
Must not know what a task is to an agent.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from benchctl.benchmark.connection import merged
from benchctl.benchmark.course import SEEDS, Outcome, WorkloadCourse
from benchctl.benchmark.stage_tasks import (
    CALL_LIMIT,
    SILENCE,
    AbandonedError,
    Hold,
    Occasion,
    Service,
    Worker,
    named_tasks,
)
from benchctl.benchmark.together import Launch, Loads, Timing, lead, run_together
from benchctl.errors import BenchctlError, TaskError
from benchctl.model.event import Message
from benchctl.model.experiment import Measure
from benchctl.plan.templates import render_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from benchctl.benchmark.attempt import Attempt
    from benchctl.benchmark.bench import Bench
    from benchctl.benchmark.course import Courses
    from benchctl.model.experiment import StageSpec, TaskSpec
    from benchctl.model.host import Host
    from benchctl.model.plan import Stage

_Job = TypeVar("_Job")
AT_ONCE = 64  # stages on hosts


@contextmanager
def staged(bench: Bench, logs: Callable[[str], Path]) -> Iterator[Courses]:
    """Give the courses that run the plan's stages, or its workload without any; what is up then is stopped.

    `logs` says where the logs of a host go that belong to no single trial.
    """
    if not bench.plan.experiment.stages:
        yield WorkloadCourse
        return
    runner = StageRunner(bench, logs)
    try:
        yield runner.course
    except BaseException:
        with suppress(BenchctlError):
            runner.close()
        raise
    runner.close()


class StageRunner:
    """One for a run: it knows which services are up and under which levels they were started."""

    def __init__(self, bench: Bench, logs: Callable[[str], Path]) -> None:
        """Nothing happens on a host. What stages install is there already: configure does it."""
        self._bench = bench
        self._logs = logs
        self._stages = [s for s in bench.plan.stages if s.spec is not None and s.spec.install is None]
        self._measured = next(stage for stage in self._stages if stage.measured)
        self._worker = Worker(bench)
        self._done: dict[str, tuple[str, ...]] = {}  # stage -> the levels that it ran under

    def course(self, attempt: Attempt) -> StageCourse:
        """Return the course of one trial."""
        return StageCourse(self, attempt)

    def close(self) -> None:
        """Stop what outlived the last trial, in reverse order."""
        self.stop(self._worker.up, lambda _: self._for_several({}, 0))

    @property
    def measured(self) -> Stage:
        return self._measured

    @property
    def worker(self) -> Worker:
        return self._worker

    def before(self, attempt: Attempt, files: dict[str, str]) -> None:
        """Run what the trial needs and does not find: all that its levels, or the trial itself, change."""
        self._forget_the_dead()
        stale = self._stale(attempt)
        outdated = [service for service in self._worker.up if service.stage.name in stale]
        self.stop(outdated, lambda service: self.occasion(service.stage, attempt, files))
        self._rows(
            [s for s in self._stages if s.name in stale and s.row < self._measured.row], attempt, files
        )

    def after(self, attempt: Attempt, files: dict[str, str]) -> None:
        """Run what comes after the load."""
        self._rows([stage for stage in self._stages if stage.row > self._measured.row], attempt, files)

    def clear(self, attempt: Attempt, files: dict[str, str]) -> list[Service]:
        """Stop what was up for this trial alone; return the services that had ended by themselves."""
        own = [service for service in self._worker.up if service.stage.scope == "trial"]
        return self.stop(own, lambda service: self.occasion(service.stage, attempt, files))

    def dead(self) -> list[Service]:
        """Return the services that are not ready any more, of those that are up."""
        asked = [
            (service, self._bench.fleet[service.host].submit("ready", descriptor=service.descriptor))
            for service in self._worker.up
        ]
        return [service for service, pending in asked if not pending.result(CALL_LIMIT)["ready"]]

    def stop(self, services: Iterable[Service], occasion: Callable[[Service], Occasion]) -> list[Service]:
        """Stop services: later rows first, on each host in reverse; return those that had ended before.

        All are tried; then what went wrong is raised as one error.
        """
        ended: list[Service] = []
        errors: list[BaseException] = []

        def chain(members: list[Service]) -> None:
            for service in reversed(members):
                try:
                    if not self._worker.stop(service, occasion(service))["running_before"]:
                        ended.append(service)
                except BenchctlError as error:
                    errors.append(error)

        rows: dict[int, dict[tuple[str, str], list[Service]]] = {}
        for service in list(services):
            chains = rows.setdefault(service.stage.row, {})
            chains.setdefault((service.stage.name, service.host), []).append(service)
            self._done.pop(service.stage.name, None)
        for row in sorted(rows, reverse=True):
            _side_by_side(chain, list(rows[row].values()))
        if errors:
            raise merged(errors)
        return ended

    def occasion(self, stage: Stage, attempt: Attempt, files: dict[str, str]) -> Occasion:
        """Return the occasion of a stage: the trial, or all trials under its levels."""
        treatment, planned = attempt.treatment, attempt.planned
        if stage.scope != "trial":
            return self._for_several(treatment.levels, planned.seed)
        raw = attempt.raw

        def keep(host: str, path: Path, digest: str) -> None:
            files[f"raw/{host}/{path.relative_to(raw / host)}"] = digest

        return Occasion(
            treatment.levels,
            planned,
            planned.seed,
            keep,
            lambda host: raw / host / "stages",
            attempt.remaining,
        )

    def _for_several(self, levels: dict[str, str], seed: int) -> Occasion:
        return Occasion(levels, None, seed, lambda *_: None, self._logs)

    def _stale(self, attempt: Attempt) -> set[str]:
        """Return the stages to run for this trial; with one, all of the later rows."""
        stale: set[str] = set()
        for row in sorted({stage.row for stage in self._stages}):
            later = bool(stale)
            for stage in self._stages:
                changed = self._done.get(stage.name) != _levels(stage, attempt)
                if stage.row == row and (later or changed or stage.scope == "trial"):
                    stale.add(stage.name)
        return stale

    def _forget_the_dead(self) -> None:
        for service in self.dead():
            text = f"{service.instance} on {service.host} is not ready any more: its stage is run again"
            self._bench.listener(Message(level="warning", text=text))
            self._done.pop(service.stage.name, None)

    def _rows(self, stages: Sequence[Stage], attempt: Attempt, files: dict[str, str]) -> None:
        for number in sorted({stage.row for stage in stages}):
            row = [stage for stage in stages if stage.row == number]
            hosts = dict.fromkeys(host.name for stage in row for host in self._hosts(stage))
            with attempt.phase(", ".join(stage.name for stage in row), hosts=hosts):
                self._row(row, attempt, files)
            if any(stage.scope != "trial" for stage in row):
                attempt.renew()

    def _row(self, row: Sequence[Stage], attempt: Attempt, files: dict[str, str]) -> None:
        """Run the stages of a row side by side; when one fails, none of their services stays up."""
        occasions = {stage.name: self.occasion(stage, attempt, files) for stage in row}
        hold = Hold()
        try:
            with self._bench.cancel.interrupting(hold.give_up):
                self._jobs_of(row, occasions, hold)
        except BaseException:
            begun = [service for service in self._worker.up if service.stage.name in occasions]
            with suppress(BenchctlError):
                self.stop(begun, lambda service: occasions[service.stage.name])
            raise
        self._done |= {stage.name: _levels(stage, attempt) for stage in row}

    def _jobs_of(self, row: Sequence[Stage], occasions: dict[str, Occasion], hold: Hold) -> None:
        """Do all jobs of a row; the first that fails ends the others. Raises their errors as one."""
        errors: list[BaseException] = []
        abandoned: list[str] = []

        def run(job: tuple[Stage, tuple[Host, ...]]) -> None:
            try:
                self._run(job[0], job[1], occasions[job[0].name], hold)
            except AbandonedError:
                abandoned.append(job[0].name)
            except BaseException as error:  # noqa: BLE001 - it is raised when the others have ended
                errors.append(error)
                hold.give_up()

        _side_by_side(run, list(self._jobs(row)))
        if errors:
            raise merged(errors)
        if abandoned and not self._bench.cancel.requested:
            raise TaskError(f"stage {', '.join(abandoned)}: a task was ended by somebody else")

    def _jobs(self, row: Sequence[Stage]) -> Iterable[tuple[Stage, tuple[Host, ...]]]:
        """Yield what can go on by itself: a stage on a host, or on all its hosts when they start together."""
        for stage in row:
            hosts = self._hosts(stage)
            if stage.together and len(hosts) > 1:
                yield stage, hosts
            else:
                yield from ((stage, (host,)) for host in hosts)

    def _hosts(self, stage: Stage) -> tuple[Host, ...]:
        return self._bench.inventory.groups[stage.group]

    def _run(self, stage: Stage, hosts: tuple[Host, ...], occasion: Occasion, hold: Hold) -> None:
        spec = spec_of(stage)
        for host in hosts:
            self._worker.copy_files(stage, spec, host.name)
        for name, task in named_tasks(spec):
            hold.check()
            if len(hosts) > 1:
                self._together(stage, task, name, hosts, occasion, hold)
            elif task.kind == "service":
                self._worker.serve(stage, task, name, hosts[0], occasion, hold)
            else:
                self._worker.finish(stage, task, name, hosts[0], occasion, hold)

    def _together(
        self, stage: Stage, task: TaskSpec, name: str, hosts: tuple[Host, ...], occasion: Occasion, hold: Hold
    ) -> None:
        """Run a command on all hosts from one instant on; the first that fails ends the others."""
        fleet, timer = self._bench.fleet, self._bench.timer
        ids = {host.name: self._worker.launch(stage, task, name, host, occasion, held=True) for host in hosts}

        def end() -> None:
            for host, launched in ids.items():
                fleet[host].submit("cancel", task=launched)

        failures: list[BenchctlError] = []
        with hold.ending(end):
            clocks = fleet.clocks(ids)
            at = timer() + lead(fleet.round_trip, len(hosts))
            for host, launched in ids.items():
                fleet[host].submit("go", task=launched, at=at + clocks[host].offset)
            replies = fleet.stream(
                "await", lambda host: {"task": ids[host]}, hosts=ids, timeout=task.timeout + SILENCE
            )
            for host, reply in replies:
                failure: BenchctlError | None
                if isinstance(reply, BenchctlError):
                    failure = reply
                else:
                    failure = self._worker.outcome(stage, name, host, reply, occasion)
                if failure is not None:
                    failures.append(failure)
                    end()
        hold.check()
        if failures:
            raise merged(failures)


class StageCourse:
    """The course of one trial of an experiment with stages."""

    def __init__(self, runner: StageRunner, attempt: Attempt) -> None:
        """Take what to do; nothing happens before `run`."""
        self._runner = runner
        self._attempt = attempt
        self._bench = attempt.bench
        self._stage = runner.measured
        self._files: dict[str, str] = {}  # what the stages left: raw/<host>/<file> -> SHA-256

    def run(self) -> Outcome:
        """Run the rows before, the load and the rows after; nothing of the trial alone stays up."""
        runner, attempt, files = self._runner, self._attempt, self._files
        try:
            attempt.knobs.settle(attempt.limit())
            runner.before(attempt, files)
            loads, host = self._load(), self._host()
            dead = runner.dead()
            if not loads.failures and not dead:
                runner.after(attempt, files)
        except BaseException:
            with suppress(BenchctlError):
                runner.clear(attempt, files)
            raise
        wider = [service for service in dead if service.stage.scope != "trial"]
        with attempt.phase("stop"):
            ended = runner.clear(attempt, files)
            ended += runner.stop(wider, lambda service: runner.occasion(service.stage, attempt, files))
        return Outcome(
            loads,
            host,
            attempt.treatment.workload,
            self._version(),
            files=files,
            broken="\n".join(map(self._death, ended)),
            load=f"stage {self._stage.name}, task {next(iter(named_tasks(spec_of(self._stage))))[0]}",
        )

    def _load(self) -> Loads:
        """Run the measured stage on all its hosts."""
        attempt, spec = self._attempt, spec_of(self._stage)
        measure, task = spec.measure or Measure(), spec.tasks[0]
        expected = measure.warmup + measure.duration
        limit = min(task.timeout, attempt.remaining())
        timing = Timing(
            measure.warmup, measure.duration, limit, open_end=False, together=spec.start == "together"
        )
        hosts = self._bench.inventory.groups[self._stage.group]
        for host in hosts:
            self._runner.worker.copy_files(self._stage, spec, host.name)
        if attempt.number > 1:
            self._empty_folders()
        launches = [self._launch(task, host, number) for number, host in enumerate(hosts)]
        with attempt.phase(self._stage.name, expected, hosts=[host.name for host in hosts]):
            return run_together(attempt, launches, timing, services=self._services())

    def _launch(self, task: TaskSpec, host: Host, number: int) -> Launch:
        """The command on one host; each has a seed of its own in its environment."""
        worker, stage = self._runner.worker, self._stage
        planned = self._attempt.planned
        occasion = self._runner.occasion(stage, self._attempt, self._files)
        occasion = occasion._replace(seed=(planned.seed + number) % SEEDS)
        names = worker.names(stage, host, occasion)
        where = f"{host.name}: stage {stage.name}"
        argv = task.run if task.shell else tuple(render_words(task.run, names, where))
        env = worker.environment(task, names, where, occasion)
        return Launch(host.name, argv, env, self._services().get(host.name), task.shell)

    def _services(self) -> dict[str, str]:
        """The first service on each host, whose CPU is sampled and whose death ends a load beside it."""
        found: dict[str, str] = {}
        for service in self._runner.worker.up:
            found.setdefault(service.host, service.instance)
        return found

    def _host(self) -> str:
        """The measured host: of the group `dbms`, else where the first service is, else of the load."""
        groups, up = self._bench.inventory.groups, self._runner.worker.up
        if groups.get("dbms"):
            return groups["dbms"][0].name
        return up[0].host if up else groups[self._stage.group][0].name

    def _version(self) -> str:
        """The version of the load generator whose module reads the output; empty for `command`."""
        members = self._bench.inventory.groups[self._stage.group]
        described = self._bench.descriptors.get(members[0].name, {}).get(
            self._attempt.treatment.workload.role
        )
        return "" if described is None else str(described.content.get("version", ""))

    def _empty_folders(self) -> None:
        """Remove what an attempt that was cut short left."""
        attempt = self._attempt
        pending = [
            agent.submit("remove", path=attempt.folder(host)) for host, agent in self._bench.fleet.items()
        ]
        for one in pending:
            one.result(attempt.limit())

    def _death(self, service: Service) -> str:
        occasion = self._runner.occasion(service.stage, self._attempt, self._files)
        words = self._runner.worker.last_words(service, occasion)
        return f"{service.host}: {service.instance} ended by itself in mid-trial{words}"


def spec_of(stage: Stage) -> StageSpec:
    """Return a stage as the file has it; the plan of an experiment with stages has it for all."""
    if stage.spec is None:
        raise TypeError(stage.name)
    return stage.spec


def _levels(stage: Stage, attempt: Attempt) -> tuple[str, ...]:
    return tuple(attempt.treatment.levels[name] for name in stage.depends)


def _side_by_side(act: Callable[[_Job], None], jobs: Sequence[_Job]) -> None:
    """Do all jobs at once; one alone needs no thread."""
    if len(jobs) == 1:
        act(jobs[0])
        return
    with ThreadPoolExecutor(max(1, min(AT_ONCE, len(jobs))), "stage") as pool:
        list(pool.map(act, jobs))
