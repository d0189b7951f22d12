"""One trial from the clone of its data image to its verdict, each phase with its own limit.

Owns the order of the phases. Must leave no process behind, however a phase ends.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from benchctl import loaders
from benchctl.benchmark.evaluation import Measured, Ran, evaluate
from benchctl.benchmark.settings import differing
from benchctl.errors import RunStateError, ServiceError, StepError, TaskError
from benchctl.model.event import TrialPhase
from benchctl.model.measurement import ServerFacts, Start, TaskResult, Trial, Window

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchctl.benchmark.bench import Bench, Descriptor
    from benchctl.model.plan import PlannedTrial, Treatment
    from benchctl.model.record import Scalar

PHASE_LIMIT = 120.0  # seconds, for each phase that is not the load
LOAD_GRACE = 30.0  # seconds that a loader may need beyond its window to connect, write its log and end
SAMPLE_HZ = 1.0


class TrialRun:
    """The phases of one trial; `run` is the only way in."""

    def __init__(self, bench: Bench, planned: PlannedTrial, treatment: Treatment) -> None:
        """Take what to do; nothing happens before `run`."""
        self._bench = bench
        self._planned = planned
        self._treatment = treatment
        self._phases: dict[str, float] = {}
        self._deadline = bench.timer() + bench.plan.experiment.limits.trial
        self._folder = f"{bench.work}/trials/{planned.ordinal:04d}"

    def run(self) -> Trial:
        """Return the finished trial, already in the sink. Raises StepError or InterruptedRunError."""
        bench, treatment = self._bench, self._treatment
        started = bench.clock()
        loader = bench.descriptors[treatment.workload.role]
        self._call("remove", path=self._folder)  # what an attempt that was cut short left there
        server, before, after = None, {}, {}
        if treatment.instance is None or treatment.dbms is None:
            load, window = self._load(loader, None)
        else:
            instance = bench.descriptors[treatment.instance]
            with self._server(instance):
                server = self._inspect(instance)
                before = self._counters(instance, "counters before")
                load, window = self._load(loader, instance)
                after = self._counters(instance, "counters after")
        with self._phase("fetch"):
            raw, files = self._fetch()
        if load.timed_out or load.exit != 0:
            raise TaskError(_loader_failure(treatment.workload.role, load, raw / bench.host))
        with self._phase("evaluate"):
            start = Start(at=load.start, spread=0.0, uncertainty=0.0, overlap=1.0)
            facts = Measured(bench.host, window, (Ran(bench.host, load, window),), start, server)
            judged = evaluate(raw, facts, workload=treatment.workload, context=bench.context)
        trial = Trial(
            ordinal=self._planned.ordinal,
            block=self._planned.block,
            position=self._planned.position,
            treatment=treatment.id,
            levels=treatment.levels,
            seed=self._planned.seed,
            host=bench.host,
            attempt=bench.sink.attempt(self._planned.ordinal),
            started=started,
            phases=self._phases,
            window=window,
            load=load,
            start=start,
            server=server,
            counters_before=before,
            counters_after=after,
            loader_version=loader.content.get("version", ""),
            files=files,
            **judged._asdict(),
        )
        bench.sink.finish(trial)
        return trial

    @contextmanager
    def _server(self, instance: Descriptor) -> Iterator[None]:
        """Clone the image, start the server; stop it however the body ends."""
        treatment, journal = self._treatment, self._bench.journal
        with self._phase("reset"):
            self._call("reset", descriptor=instance.path, image=self._image())
        try:
            with journal.act("service.start", instance=treatment.instance), self._phase("start"):
                self._call("start", descriptor=instance.path, settings=self._wanted())
            yield
        finally:
            self._stop(instance)

    def _stop(self, instance: Descriptor) -> None:
        def stop() -> dict[str, Any]:
            return self._bench.agent.call("stop", timeout=PHASE_LIMIT, descriptor=instance.path)

        named = {"instance": self._treatment.instance}
        try:
            with self._bench.journal.act("service.stop", **named) as act, self._phase("stop"):
                act.learned(**stop())
        except RunStateError:  # the journal takes no entry; a server must not run on for that
            stop()
            raise

    def _inspect(self, instance: Descriptor) -> ServerFacts:
        """Ask the running server for its version and settings, and list what differs from the wanted."""
        wanted = self._wanted()
        with self._phase("inspect"):
            found = self._call("inspect", descriptor=instance.path, names=sorted(wanted))
        settings: dict[str, str] = found["settings"]
        return ServerFacts(
            instance=str(self._treatment.instance),
            image=self._image(),
            version=found["version"],
            settings=settings,
            wanted=wanted,
            differing=differing(wanted, settings),
        )

    def _counters(self, instance: Descriptor, phase: str) -> dict[str, Scalar]:
        with self._phase(phase):
            counters: dict[str, Scalar] = self._call("stats", descriptor=instance.path)["counters"]
            return counters

    def _load(self, loader: Descriptor, instance: Descriptor | None) -> tuple[TaskResult, Window]:
        """Run the load generator over warm-up and window; its output stays in the trial's folder."""
        bench, workload = self._bench, self._treatment.workload
        target = None if instance is None else bench.target(instance)
        generator = loaders.get(workload.role)
        command = generator.command(workload, loader.content, target, self._planned.seed)
        task = f"trial-{self._planned.ordinal:04d}-{bench.sink.attempt(self._planned.ordinal)}"
        expected = workload.warmup + workload.duration
        open_end = generator.ENDS_ITSELF
        limit = self._remaining() if open_end else min(expected + LOAD_GRACE, self._remaining())
        with (
            self._phase("load", expected),
            bench.cancel.interrupting(lambda: bench.agent.call("cancel", timeout=PHASE_LIMIT, task=task)),
        ):
            reply = bench.agent.call(
                "run",
                timeout=limit + LOAD_GRACE,
                task=task,
                argv=list(command.argv),
                env=command.env,
                cwd=self._folder,
                limit=limit,
                window={"warmup": workload.warmup, "duration": limit if open_end else workload.duration},
                sample_hz=SAMPLE_HZ,
                service=self._treatment.instance,
            )
        if reply["service_died"]:
            raise ServiceError(self._death(reply["service_exit"]))
        end = reply["end"] if open_end else reply["window"]["end"]
        return _task_result(command.argv, reply), Window(start=reply["window"]["start"], end=end)

    def _death(self, code: int | None) -> str:
        """Say how the server ended in mid-trial; the files of the attempt are fetched and kept aside."""
        instance = str(self._treatment.instance)
        raw, _ = self._fetch()
        log = raw / self._bench.host / "server.log"
        self._bench.agent.fetch(f"{self._bench.work}/{instance}/server.log", log)
        last = "".join(f"\n    {line}" for line in log.read_text(errors="replace").splitlines()[-5:])
        return f"{self._bench.host}: {instance} ended with {code} in mid-trial\n  its last lines:{last}"

    def _fetch(self) -> tuple[Path, dict[str, str]]:
        """Bring every file of the trial's folder here; return the raw folder and the hashes."""
        agent, raw = self._bench.agent, self._bench.sink.raw_folder(self._planned.ordinal)
        hashes = {}
        for entry in self._call("files", dir=self._folder)["files"]:
            name = f"{agent.host}/{entry['path']}"
            destination = raw / name
            destination.parent.mkdir(parents=True, exist_ok=True)
            hashes[f"raw/{name}"] = agent.fetch(f"{self._folder}/{entry['path']}", destination)
        self._call("remove", path=self._folder)
        return raw, hashes

    def _image(self) -> str:
        return self._bench.images[str(self._treatment.image)]

    def _wanted(self) -> dict[str, str]:
        dbms = self._treatment.dbms
        return {} if dbms is None else {name: str(value) for name, value in dbms.settings.items()}

    def _call(self, op: str, **args: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
        self._bench.cancel.check()
        return self._bench.agent.call(op, timeout=min(PHASE_LIMIT, self._remaining()), **args)

    def _remaining(self) -> float:
        left = self._deadline - self._bench.timer()
        if left <= 0:
            limit = self._bench.plan.experiment.limits.trial
            raise StepError(
                f"trial {self._planned.ordinal} took longer than limits.trial, {limit:g} s",
                remedy="raise limits.trial, or shorten workload.duration",
            )
        return left

    @contextmanager
    def _phase(self, name: str, expected: float | None = None) -> Iterator[None]:
        self._bench.listener(TrialPhase(ordinal=self._planned.ordinal, phase=name, expected=expected))
        begin = self._bench.timer()
        try:
            yield
        finally:
            self._phases[name] = round(self._bench.timer() - begin, 6)


def _task_result(argv: tuple[str, ...], reply: dict[str, Any]) -> TaskResult:
    return TaskResult(
        argv=argv,
        exit=reply["exit"],
        start=reply["start"],
        end=reply["end"],
        cpu_user=reply["cpu_user"],
        cpu_system=reply["cpu_system"],
        max_rss=reply["max_rss"],
        timed_out=reply["timed_out"],
    )


def _loader_failure(role: str, load: TaskResult, raw: Path) -> str:
    """Say how the loader ended, with the last lines it wrote."""
    how = "was stopped at its limit" if load.timed_out else f"ended with exit code {load.exit}"
    if load.exit < 0 and not load.timed_out:
        how = f"was killed by signal {-load.exit}"
    said = [
        line
        for name in ("stderr", "stdout")
        for line in (raw / name).read_text(errors="replace").splitlines()[-5:]
        if (raw / name).exists()
    ]
    return "\n".join([f"{role} {how} after {load.end - load.start:.1f} s", *said])
