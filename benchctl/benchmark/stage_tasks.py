"""The tasks of one stage on one host: files copied, commands run to their end, services started and stopped.

Owns what a task is to the agent. Must not know rows, scopes or trials; the runner of stages does.
"""

from __future__ import annotations

import itertools
import math
import os
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchctl.benchmark.ending import ending
from benchctl.errors import BenchctlError, RunStateError, ServiceError, StepError, TaskError
from benchctl.plan.templates import Names, render, render_words
from benchctl.spec.stages import task_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from benchctl.benchmark.bench import Bench
    from benchctl.model.experiment import StageSpec, TaskSpec
    from benchctl.model.host import Host
    from benchctl.model.plan import PlannedTrial, Stage

CALL_LIMIT = 120.0  # seconds for what the agent answers at once, or nearly
STOP_PATIENCE = 30.0  # seconds that a service may take to stop before harder means
SILENCE = 150.0  # seconds beyond its limit until a task counts as lost: a cut connection comes back in 120
LAST_LINES = 10  # of each output that a failure's message carries
START_PATIENCE = SILENCE  # seconds beyond `ready.timeout` for the agent's reply

Reply = dict[str, Any]


class AbandonedError(Exception):
    """Another task failed, or a stop was asked for; this one was given up and has nothing to tell."""


class Occasion(NamedTuple):
    """When a stage runs: under which levels, in which trial, and where its output goes."""

    levels: Mapping[str, str]
    trial: PlannedTrial | None  # None: for more than one trial
    seed: int
    keep: Callable[[str, Path, str], None]  # host, file here, its SHA-256
    folder: Callable[[str], Path]  # host -> where its output is kept
    remaining: Callable[[], float] = lambda: math.inf  # seconds until limits.trial; raises when it is over


class Service(NamedTuple):
    """A service that is up, or may be."""

    stage: Stage
    host: str
    task: str
    descriptor: Reply

    @property
    def instance(self) -> str:
        return str(self.descriptor["instance"])


class Worker:
    """Runs the tasks of stages; one for a run, used from many threads."""

    def __init__(self, bench: Bench) -> None:
        """Nothing happens on a host."""
        self._bench = bench
        self._names = Names(bench.plan.experiment, bench.inventory)
        self._numbers = itertools.count(1)
        self._there: set[tuple[str, str]] = set()  # stage and host that have the stage's files
        self.up: list[Service] = []  # services that are up, or may be, in the order of their start

    def names(self, stage: Stage, host: Host, occasion: Occasion) -> dict[str, Any]:
        """Return the names of the templates of a stage on a host."""
        return self._names.at(
            stage.group,
            host,
            levels=occasion.levels,
            trial=occasion.trial,
            work=self._bench.work(host.name),
            files=self._files(stage, host.name),
            roles=self._bench.programs(host.name),
        )

    def copy_files(self, stage: Stage, spec: StageSpec, host: str) -> None:
        """Copy the stage's files to a host, once in a run. Raises StepError for one that has changed."""
        if (stage.name, host) in self._there:
            return
        for file in spec.files:
            source = Path(file)
            target = f"{self._files(stage, host)}/{source.name}"
            try:
                copied = self._bench.fleet[host].put(source, target, executable=os.access(source, os.X_OK))
            except OSError as error:
                raise StepError(f"{source}: {error.strerror}", remedy="make the file readable") from error
            if copied != self._bench.plan.files[file]:
                raise StepError(
                    f"{source} has changed since this run began", remedy="start a new run with the new file"
                )
        self._there.add((stage.name, host))

    def finish(
        self, stage: Stage, task: TaskSpec, name: str, host: Host, occasion: Occasion, hold: Hold
    ) -> None:
        """Run a command to its end, again when it fails and may. Raises TaskError with its last words."""
        tries = 0
        while True:
            tries += 1
            launched = self.launch(stage, task, name, host, occasion)
            reply = self._await(host.name, launched, task.timeout, hold)
            failure = self.outcome(stage, name, host.name, reply, occasion)
            hold.check()
            if reply["cancelled"]:
                raise AbandonedError
            if failure is None:
                return
            if tries > task.retries:
                raise TaskError(f"{failure.detail}{_tried(tries)}")
            hold.pause(task.backoff * 2 ** (tries - 1))

    def _await(self, host: str, launched: str, limit: float, hold: Hold) -> Reply:
        agent = self._bench.fleet[host]
        with hold.ending(lambda: agent.submit("cancel", task=launched)):
            return agent.submit("await", task=launched).result(limit + SILENCE)

    def launch(
        self, stage: Stage, task: TaskSpec, name: str, host: Host, occasion: Occasion, *, held: bool = False
    ) -> str:
        """Start a command, or hold it; return the task's id, which is used once."""
        launched = f"{stage.name}.{name}.{next(self._numbers)}"
        names = self.names(stage, host, occasion)
        where = f"{host.name}: stage {stage.name}, task {name}"
        self._bench.fleet[host.name].call(
            "launch",
            timeout=CALL_LIMIT,
            task=launched,
            argv=self._argv(task, names, where),
            cwd=self._folder(stage, name, host.name),
            limit=min(task.timeout, occasion.remaining()),
            env=self.environment(task, names, where, occasion),
            hold=held,
        )
        return launched

    def outcome(
        self, stage: Stage, name: str, host: str, reply: Reply, occasion: Occasion
    ) -> TaskError | None:
        """Fetch what a command printed; return its failure, if it failed and was not cancelled."""
        printed = [file["path"] for file in reply["files"] if file["size"]]
        said: list[str] = []
        for output in [output for output in ("stderr", "stdout") if output in printed]:
            source = f"{self._folder(stage, name, host)}/{output}"
            kept = self._keep(host, source, stage, f"{name}.{output}", occasion)
            said += _last_lines(kept)
        if reply["cancelled"] or (reply["exit"] == 0 and not reply["timed_out"]):
            return None
        how = ending(reply["exit"], timed_out=reply["timed_out"])
        how += f" after {reply['end'] - reply['start']:.1f} s"
        lines = "".join(f"\n    {line}" for line in said)
        return TaskError(f"{host}: stage {stage.name}, task {name} {how}{lines}")

    def serve(
        self, stage: Stage, task: TaskSpec, name: str, host: Host, occasion: Occasion, hold: Hold
    ) -> None:
        """Start a service and wait until it is ready, again when it fails and may. Raises ServiceError.

        It counts as up from before its start, until it is stopped.
        """
        service = Service(stage, host.name, name, self._descriptor(stage, task, name, host, occasion))
        tries = 0
        while True:
            tries += 1
            failure = self._start(service, task, occasion, hold)
            hold.check()
            if failure is None:
                return
            if tries > task.retries:
                detail = f"stage {stage.name}, task {name}: {failure.detail}{_tried(tries)}"
                raise ServiceError(detail, remedy=failure.remedy)
            hold.pause(task.backoff * 2 ** (tries - 1))

    def stop(self, service: Service, occasion: Occasion) -> Reply:
        """Stop a service, well or ill, and keep its log; return the agent's reply."""
        named = {"instance": service.instance, "host": service.host, "stage": service.stage.name}
        try:
            with self._bench.journal.act("service.stop", **named) as act:
                reply = self._stop(service)
                act.learned(**reply)
        except RunStateError:  # the journal takes no entry; a service must not run on for that
            self._stop(service)
            raise
        if service in self.up:
            self.up.remove(service)
        with suppress(BenchctlError, OSError):  # a log that cannot be had keeps nothing up
            self._keep(service.host, self._log(service), service.stage, f"{service.task}.log", occasion)
        return reply

    def last_words(self, service: Service, occasion: Occasion) -> str:
        """Return the last lines of a stopped service's log, indented."""
        kept = occasion.folder(service.host) / service.stage.name / f"{service.task}.log"
        return "".join(f"\n    {line}" for line in _last_lines(kept))

    def environment(
        self, task: TaskSpec, names: Mapping[str, Any], where: str, occasion: Occasion
    ) -> dict[str, str]:
        """Return what a task finds in its environment, beside PATH and HOME."""
        known = {
            "BENCHCTL_SEED": str(occasion.seed),
            "BENCHCTL_WARMUP": str(names["warmup"]),
            "BENCHCTL_DURATION": str(names["duration"]),
        }
        return known | {name: render(value, names, where) for name, value in task.env.items()}

    def _start(self, service: Service, task: TaskSpec, occasion: Occasion, hold: Hold) -> ServiceError | None:
        limit = task.ready.timeout if task.ready is not None else CALL_LIMIT
        named = {"instance": service.instance, "host": service.host, "stage": service.stage.name}
        self.up.append(service)
        try:
            with self._bench.journal.act("service.start", **named):
                agent = self._bench.fleet[service.host]
                pending = agent.submit("start", descriptor=service.descriptor)
                with hold.ending(lambda: agent.submit("stop", descriptor=service.descriptor)):
                    pending.result(limit + START_PATIENCE)
        except ServiceError as error:
            self.stop(service, occasion)
            return error
        return None

    def _stop(self, service: Service) -> Reply:
        agent = self._bench.fleet[service.host]
        return agent.call("stop", timeout=CALL_LIMIT, descriptor=service.descriptor, log=self._log(service))

    def _descriptor(self, stage: Stage, task: TaskSpec, name: str, host: Host, occasion: Occasion) -> Reply:
        """Describe a service as roles describe theirs."""
        names = self.names(stage, host, occasion)
        where = f"{host.name}: stage {stage.name}, task {name}"
        stop: Reply = {"signal": task.stop_signal, "timeout": STOP_PATIENCE}
        if task.stop is not None:
            argv = render_words(task.stop, names, where)
            stop = {"argv": argv, "timeout": STOP_PATIENCE, "then": task.stop_signal}
        described: Reply = {
            "schema": 1,
            "role": "stages",
            "instance": f"{stage.name}.{name}",
            "kind": "service",
            "env": self.environment(task, names, where, occasion),
            "start": {"argv": self._argv(task, names, where)},
            "stop": stop,
        }
        if task.ready is not None:
            described["ready"] = {"interval": task.ready.interval, "timeout": task.ready.timeout}
            if task.ready.command is not None:
                described["ready"]["argv"] = render_words(task.ready.command, names, where)
            if task.ready.http is not None:
                described["ready"]["http"] = render(task.ready.http, names, where)
            if task.ready.port is not None:
                described["ready"]["port"] = task.ready.port
            if task.ready.log is not None:
                described["ready"]["log"] = task.ready.log
        return described

    def _argv(self, task: TaskSpec, names: Mapping[str, Any], where: str) -> list[str]:
        return ["/bin/sh", "-c", *task.run] if task.shell else render_words(task.run, names, where)

    def _keep(self, host: str, source: str, stage: Stage, name: str, occasion: Occasion) -> Path:
        target = occasion.folder(host) / stage.name / name
        target.parent.mkdir(parents=True, exist_ok=True)
        occasion.keep(host, target, self._bench.fleet[host].fetch(source, target))
        return target

    def _files(self, stage: Stage, host: str) -> str:
        return f"{self._bench.work(host)}/files/{stage.name}"

    def _folder(self, stage: Stage, name: str, host: str) -> str:
        return f"{self._bench.work(host)}/stages/{stage.name}/{name}"

    def _log(self, service: Service) -> str:
        return f"{self._bench.work(service.host)}/logs/{service.stage.name}/{service.task}.log"


class Hold:
    """What is under way in a row: given up all at once, from any thread."""

    def __init__(self) -> None:
        self._given_up = threading.Event()
        self._lock = threading.Lock()
        self._keys = itertools.count()
        self._ends: dict[int, Callable[[], object]] = {}

    def check(self) -> None:
        """Raise AbandonedError when all was given up."""
        if self._given_up.is_set():
            raise AbandonedError

    def pause(self, seconds: float) -> None:
        """Wait; raises AbandonedError when all is given up meanwhile."""
        self._given_up.wait(seconds)
        self.check()

    def give_up(self) -> None:
        """End everything under way; what comes later ends by itself."""
        self._given_up.set()
        with self._lock:
            ends = list(self._ends.values())
        for end in ends:
            with suppress(BenchctlError):
                end()

    @contextmanager
    def ending(self, end: Callable[[], object]) -> Iterator[None]:
        """Let `end` end what the body waits for; at once when all was given up already."""
        key = next(self._keys)
        with self._lock:
            self._ends[key] = end
        try:
            if self._given_up.is_set():
                with suppress(BenchctlError):
                    end()
            yield
        finally:
            with self._lock:
                self._ends.pop(key)


def named_tasks(spec: StageSpec) -> Iterable[tuple[str, TaskSpec]]:
    """Return the tasks of a stage with their names."""
    return zip(task_names(spec), spec.tasks, strict=True)


def _tried(times: int) -> str:
    return f"\n  tried {times} times" if times > 1 else ""


def _last_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
    except FileNotFoundError:
        return []
