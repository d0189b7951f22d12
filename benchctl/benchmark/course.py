"""What one trial of a DBMS and its load does on the hosts, from the clone of the data image to the stop.

Owns the order of these phases. Must leave no server behind, however a phase ends.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from benchctl import loaders
from benchctl.benchmark.attempt import PHASE_LIMIT
from benchctl.benchmark.ending import ending
from benchctl.benchmark.settings import differing
from benchctl.benchmark.together import GRACE, Launch, Loads, Timing, run_together
from benchctl.errors import RunStateError, ServiceError
from benchctl.model.measurement import ServerFacts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchctl.benchmark.attempt import Attempt
    from benchctl.model.experiment import Workload
    from benchctl.model.record import Scalar

SERVER_LOG = "server.log"
SEEDS = 2**31


class Outcome(NamedTuple):
    """What a course gives to the evaluation."""

    loads: Loads
    host: str  # the measured one
    workload: Workload  # how the load's output is read
    loader_version: str = ""
    server: ServerFacts | None = None
    before: dict[str, Scalar] = {}  # noqa: RUF012 - never changed  # the DBMS's counters
    after: dict[str, Scalar] = {}  # noqa: RUF012 - never changed
    death: str = ""  # how the DBMS ended by itself
    files: dict[str, str] = {}  # noqa: RUF012 - never changed  # fetched by the course: raw/<host>/<file> -> SHA-256
    broken: str = ""  # what else went wrong, in full
    load: str = ""  # what the load is called, where that is not its role


class Course(Protocol):
    """One way to do a trial. `run` must leave nothing running that belongs to the trial alone."""

    def run(self) -> Outcome:
        """Do it. A load that failed is no error here: its files are to be fetched first."""


Courses = Callable[["Attempt"], Course]
"""Gives the course of an attempt."""


class WorkloadCourse:
    """The course of `dbms` and `workload`: one server on the first DBMS host, a load on every loader host."""

    def __init__(self, attempt: Attempt) -> None:
        """Take what to do; nothing happens before `run`."""
        self._attempt = attempt
        self._bench = attempt.bench
        self._treatment = attempt.treatment
        self._instance = attempt.treatment.instance
        self._workload = attempt.treatment.workload
        self._ended: dict[str, Any] = {}  # the reply of the server's stop
        self._reset: dict[str, Any] = {}  # that of the reset

    def run(self) -> Outcome:
        if self._instance is None or self._treatment.dbms is None:
            return Outcome(self._load(), self._bench.loaders[0].name, self._workload, self._version())
        after: dict[str, Scalar] = {}
        silence: ServiceError | None = None
        with self._server():
            server, before = self._inspect()
            loads = self._load()
            try:
                if not loads.failures:
                    after = self._counters()
            except ServiceError as error:
                silence = error
        death = self._death(loads)
        if silence is not None and not death:
            raise silence
        loads.files.setdefault(self._host, set()).update(self._left())
        return Outcome(loads, self._host, self._workload, self._version(), server, before, after, death)

    @property
    def _host(self) -> str:
        return self._bench.server.name

    @property
    def _path(self) -> str:
        return self._bench.descriptors[self._host][str(self._instance)].path

    @property
    def _described(self) -> dict[str, Any]:
        return self._bench.descriptors[self._host][str(self._instance)].content

    @property
    def _serverless(self) -> bool:
        """No process of it is started, watched or stopped: the load's engine, or somebody else's server."""
        return bool(self._described.get("embedded") or self._described.get("external"))

    @property
    def _kept(self) -> bool:
        """Whether a trial finds the data as the one before it left them."""
        return bool(self._described.get("external") and not self._described.get("reset"))

    @contextmanager
    def _server(self) -> Iterator[None]:
        """Clone the image, start the server; stop it however the body ends."""
        attempt, settings = self._attempt, self._wanted()
        with attempt.phase("reset", hosts=[self._host]):
            emptied = [
                self._bench.fleet[host].submit("remove", path=attempt.folder(host))
                for host in self._bench.fleet
            ]  # what an attempt that was cut short left there
            if not self._kept:
                self._reset = attempt.reset(self._host, self._path, self._image())
            for pending in emptied:
                pending.result(attempt.limit())
            attempt.knobs.settle(attempt.limit())
        if self._serverless:
            with attempt.phase("start", hosts=[self._host]):
                attempt.call(self._host, "start", descriptor=self._path, settings=settings)
            yield
            return
        try:
            act = self._bench.journal.act("service.start", instance=self._instance, host=self._host)
            with act, attempt.phase("start", hosts=[self._host]):
                attempt.call(self._host, "start", descriptor=self._path, settings=settings)
            yield
        finally:
            self._stop()

    def _stop(self) -> None:
        def stop() -> dict[str, Any]:
            log = f"{self._attempt.folder(self._host)}/{SERVER_LOG}"
            agent = self._bench.fleet[self._host]
            return agent.call("stop", timeout=PHASE_LIMIT, descriptor=self._path, log=log)

        named = {"instance": self._instance, "host": self._host}
        try:
            phase = self._attempt.phase("stop", hosts=[self._host])
            with self._bench.journal.act("service.stop", **named) as act, phase:
                self._ended = stop()
                act.learned(**self._ended)
        except RunStateError:  # the journal takes no entry; a server must not run on for that
            stop()
            raise

    def _inspect(self) -> tuple[ServerFacts, dict[str, Scalar]]:
        """Ask the running server for version, settings and counters; list what differs from the wanted."""
        wanted = self._wanted()
        with self._attempt.phase("inspect", hosts=[self._host]):
            found = self._attempt.call(self._host, "inspect", descriptor=self._path, names=sorted(wanted))
            self._compare()
        settings: dict[str, str] = found["settings"]
        facts = ServerFacts(
            instance=str(self._instance),
            image="" if self._kept else self._image(),
            reset=", as ".join(self._reset[key] for key in ("method", "why") if self._reset.get(key)),
            version=found["version"],
            settings=settings,
            wanted=wanted,
            differing=differing(wanted, settings),
        )
        return facts, self._counters("counters before")

    def _compare(self) -> None:
        """Require that the server counts in its data what it counted in the image's, unless the reset did."""
        if self._described.get("contents") and not (self._reset.get("counted") or self._serverless):
            self._attempt.call(self._host, "contents", descriptor=self._path, image=self._image())

    def _counters(self, phase: str = "counters after") -> dict[str, Scalar]:
        with self._attempt.phase(phase, hosts=[self._host]):
            counters: dict[str, Scalar] = self._attempt.call(self._host, "stats", descriptor=self._path)[
                "counters"
            ]
            return counters

    def _load(self) -> Loads:
        """Run the load generator on all its hosts over warm-up and window."""
        workload, attempt = self._workload, self._attempt
        open_end = loaders.get(workload.role).ENDS_ITSELF
        expected = workload.warmup + workload.duration
        limit = attempt.remaining() if open_end else min(expected + GRACE, attempt.remaining())
        timing = Timing(workload.warmup, workload.duration, limit, open_end)
        launches = [self._launch(host.name, number) for number, host in enumerate(self._bench.loaders)]
        served = None if self._instance is None or self._serverless else self._instance
        services = {} if served is None else {self._host: served}
        with attempt.phase("load", expected, hosts=[launch.host for launch in launches]):
            return run_together(attempt, launches, timing, services=services)

    def _launch(self, host: str, number: int) -> Launch:
        """The command on one host; each has a seed of its own, or all would ask for the same rows."""
        seed = (self._attempt.planned.seed + number) % SEEDS
        target = None if self._instance is None else self._bench.target(self._instance, host)
        descriptor = self._bench.descriptors[host][self._workload.role].content
        generator = loaders.get(self._workload.role)
        command = generator.command(self._workload, descriptor, target, seed)
        beside = self._instance is not None and host == self._host and not self._serverless
        return Launch(host, command.argv, command.env, self._instance if beside else None)

    def _version(self) -> str:
        descriptors = self._bench.descriptors[self._bench.loaders[0].name]
        return str(descriptors[self._workload.role].content.get("version", ""))

    def _left(self) -> set[str]:
        folder = self._attempt.folder(self._host)
        return {entry["path"] for entry in self._attempt.call(self._host, "files", dir=folder)["files"]}

    def _death(self, loads: Loads) -> str:
        if self._serverless:
            return ""
        if self._host in loads.deaths:
            return ending(loads.deaths[self._host])
        if not self._ended["running_before"]:
            return ending(self._ended["exit"])
        return ""

    def _image(self) -> str:
        return self._bench.images[str(self._treatment.image)]

    def _wanted(self) -> dict[str, str]:
        dbms = self._treatment.dbms
        return {} if dbms is None else {name: str(value) for name, value in dbms.settings.items()}
