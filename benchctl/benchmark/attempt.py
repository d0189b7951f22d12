"""One attempt at one trial: its folder on each host, its limits, its phases, its calls.

Owns what every course of a trial needs. Must not know what a trial does.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from benchctl.benchmark.knobs import KnobWatch
from benchctl.errors import AgentError, StepError
from benchctl.model.event import TrialPhase

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from benchctl.benchmark.bench import Bench
    from benchctl.model.plan import PlannedTrial, Treatment

PHASE_LIMIT = 120.0  # seconds, for each phase that is not the load


class Attempt:
    """Shared by all that takes part in the attempt; made anew for each."""

    def __init__(self, bench: Bench, planned: PlannedTrial, treatment: Treatment) -> None:
        """Begin the attempt's time; nothing happens on a host."""
        self.bench = bench
        self.planned = planned
        self.treatment = treatment
        self.phases: dict[str, float] = {}
        self.number = bench.sink.attempt(planned.ordinal)
        self.task = (
            f"trial-{planned.ordinal:04d}-{self.number}"  # the name of the load's task, unique in a run
        )
        self._raw: Path | None = None
        self.knobs = KnobWatch(bench, planned.ordinal)
        self.renew()

    def renew(self) -> None:
        """Let limits.trial begin now: what was done before was for more than this trial."""
        self._deadline = self.bench.timer() + self.bench.plan.experiment.limits.trial

    @property
    def raw(self) -> Path:
        """The folder for the attempt's raw files, made when it is first asked for."""
        if self._raw is None:
            self._raw = self.bench.sink.raw_folder(self.planned.ordinal)
        return self._raw

    def folder(self, host: str) -> str:
        """The trial's folder on a host."""
        return f"{self.bench.work(host)}/trials/{self.planned.ordinal:04d}"

    def call(self, host: str, op: str, **args: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
        """Execute one operation on one host, within the phase's and the trial's limit."""
        self.bench.cancel.check()
        return self.bench.fleet[host].call(op, timeout=self.limit(), **args)

    def reset(self, host: str, descriptor: str, image: str) -> dict[str, Any]:
        """Give an instance fresh data; large data takes its time, so only the trial's limit holds."""
        self.bench.cancel.check()
        agent = self.bench.fleet[host]
        return agent.call("reset", timeout=self.remaining(), descriptor=descriptor, image=image)

    def limit(self) -> float:
        """Seconds that a phase may take now."""
        return min(PHASE_LIMIT, self.remaining())

    def remaining(self) -> float:
        """Seconds until limits.trial. Raises StepError when it is over."""
        left = self._deadline - self.bench.timer()
        if left <= 0:
            limit = self.bench.plan.experiment.limits.trial
            raise StepError(
                f"trial {self.planned.ordinal} took longer than limits.trial, {limit:g} s",
                remedy="raise limits.trial, or shorten workload.duration",
            )
        return left

    @contextmanager
    def phase(self, name: str, expected: float | None = None, hosts: Iterable[str] = ()) -> Iterator[None]:
        """Tell of a phase and keep its length; `hosts` are those that it waits for."""
        ordinal = self.planned.ordinal
        self.bench.listener(TrialPhase(ordinal=ordinal, phase=name, expected=expected, hosts=tuple(hosts)))
        begin = self.bench.timer()
        try:
            yield
        finally:
            self.phases[name] = round(self.bench.timer() - begin, 6)

    def fetch(
        self, files: Mapping[str, Iterable[str]], read: Mapping[str, Mapping[str, bytes]]
    ) -> tuple[Path, dict[str, str]]:
        """Bring the named files of each host's folder here, from all hosts side by side.

        `read` has the content of those that came already. Returns the raw folder, with a folder for each
        host, and the files' hashes by raw/<host>/<file>.
        """
        self.bench.cancel.check()
        raw, found = self.raw, {}
        wanted: list[tuple[str, list[str]]] = []
        for host, names in files.items():
            target, there = raw / host, read.get(host, {})
            for name in names:
                _require_inside(host, name)
            for folder in sorted({(target / name).parent for name in names} | {target}):
                folder.mkdir(parents=True, exist_ok=True)
            for name in sorted(there.keys() & set(names)):
                (target / name).write_bytes(there[name])
                found[f"raw/{host}/{name}"] = hashlib.sha256(there[name]).hexdigest()
            if missing := sorted(set(names) - there.keys()):
                wanted.append((host, missing))
        if len(wanted) == 1:
            return raw, found | self._fetch_from(raw, *wanted[0])
        if wanted:
            with ThreadPoolExecutor(len(wanted), "fetch") as pool:
                for part in pool.map(lambda one: self._fetch_from(raw, *one), wanted):
                    found |= part
        return raw, found

    def _fetch_from(self, raw: Path, host: str, names: list[str]) -> dict[str, str]:
        source, target = self.folder(host), raw / host
        hashes = self.bench.fleet[host].fetch_all([(f"{source}/{name}", target / name) for name in names])
        return {f"raw/{host}/{name}": digest for name, digest in zip(names, hashes, strict=True)}


def _require_inside(host: str, name: str) -> None:
    """Raise AgentError for a name that leads out of the folder: hosts tell names, and may be anybody's."""
    if name.startswith("/") or ".." in name.split("/"):
        raise AgentError(f"{host}: {name[:80]!a} is no file of the trial's folder")
