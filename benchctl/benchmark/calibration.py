"""What each load generator reaches on its host against a target that does nothing: measured before trials.

Owns when that is measured and when it is known already: the host remembers it. Without it trials are judged
by the rest; so what goes wrong here is told, and fails nothing.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from benchctl import loaders
from benchctl.errors import (
    BenchctlError,
    ConnectionLostError,
    InterruptedRunError,
    ParseError,
    RunStateError,
    TaskError,
)
from benchctl.model.event import Message
from benchctl.model.measurement import Capacity, Window

if TYPE_CHECKING:
    from benchctl.benchmark.bench import Bench
    from benchctl.loaders import Command, NullRun
    from benchctl.model.plan import Treatment

LIMIT = 60.0  # seconds for one run, which takes about one
PATIENCE = 150.0  # seconds beyond it until its end counts as lost
TAIL = 0.1  # seconds before a load generator's end that are not measured: its clients leave one by one
REPORT = "null-target.json"

Capacities = dict[str, dict[str, Capacity]]
"""Host -> treatment -> capacity."""


class _Planned(NamedTuple):
    """One run against a null target, under the name by which the host remembers its outcome."""

    name: str
    role: str
    run: NullRun
    command: Command


def calibrate(bench: Bench) -> Capacities:
    """Measure what is not known yet, on all hosts side by side.

    Raises InterruptedRunError when a stop was asked for, ConnectionLostError when a host is gone.
    """
    hosts = {host.name: _Host(bench, host.name) for host in bench.loaders}

    def cancel() -> None:
        for host in hosts.values():
            host.cancel()

    with bench.cancel.interrupting(cancel), ThreadPoolExecutor(len(hosts), "calibration") as pool:
        return dict(zip(hosts, pool.map(_Host.capacities, hosts.values()), strict=True))


class _Host:
    """One host's load generators."""

    def __init__(self, bench: Bench, host: str) -> None:
        self._bench = bench
        self._host = host
        self._agent = bench.fleet[host]
        self._task = ""  # under way; each is used once

    def capacities(self) -> dict[str, Capacity]:
        """By treatment, but for those that have none."""
        planned = {treatment.id: self._plan(treatment) for treatment in self._bench.plan.treatments}
        known: dict[str, Capacity | None] = {}
        for one in planned.values():
            if one is not None and one.name not in known:
                known[one.name] = self._recall(one.name) or self._try(one)
        found = {treatment: known[one.name] for treatment, one in planned.items() if one is not None}
        return {treatment: capacity for treatment, capacity in found.items() if capacity is not None}

    def cancel(self) -> None:
        with suppress(BenchctlError):  # a host that is gone runs nothing for us
            self._agent.submit("cancel", task=self._task)

    def _plan(self, treatment: Treatment) -> _Planned | None:
        if treatment.instance is None:
            return None
        role = treatment.workload.role
        loader, descriptor = loaders.get(role), self._bench.descriptors[self._host][role].content
        runtime = str(self._agent.hello["runtime"])
        target = self._bench.target(treatment.instance, self._host)
        run = loader.null_run(treatment.workload, descriptor, target, runtime)
        if run is None:
            return None
        command = loader.command(run.workload, descriptor, run.target, 0)
        shape = [descriptor.get("verify"), command.argv, command.env, run.against]
        text = json.dumps(shape, sort_keys=True).replace(runtime, "")  # that folder is another in each run
        return _Planned(hashlib.sha256(text.encode()).hexdigest()[:32], role, run, command)

    def _recall(self, name: str) -> Capacity | None:
        value = self._agent.call("recall", timeout=LIMIT, name=name)["value"]
        try:
            return None if value is None else msgspec.convert(value, Capacity)
        except msgspec.ValidationError:  # of another version
            return None

    def _try(self, planned: _Planned) -> Capacity | None:
        """Measure; None when that failed, which is told."""
        tell = self._bench.listener
        try:
            with self._bench.journal.act("capacity", host=self._host, loader=planned.role) as act:
                capacity = self._measure(planned)
                act.learned(**msgspec.to_builtins(capacity))
        except (ConnectionLostError, RunStateError, InterruptedRunError):
            raise
        except BenchctlError as error:
            text = f"{self._host}: {planned.role} could not be run against a null target: {error}"
            tell(Message(level="warning", text=text))
            return None
        reached = f"{'' if capacity.is_ceiling else 'at least '}{capacity.throughput:.6g}/s"
        text = f"{self._host}: {planned.role} reaches {reached} against a null target"
        tell(Message(level="detail", text=text))
        return capacity

    def _measure(self, planned: _Planned) -> Capacity:
        agent = self._agent
        self._task = f"null-target-{secrets.token_hex(4)}"
        folder = f"{self._bench.work(self._host)}/null-target"
        self._bench.cancel.check()
        agent.call(
            "launch",
            timeout=LIMIT,
            task=self._task,
            argv=list(planned.command.argv),
            env=planned.command.env,
            cwd=folder,
            limit=LIMIT,
            against=planned.run.against,
        )
        reply = agent.call("await", timeout=LIMIT + PATIENCE, task=self._task)
        self._bench.cancel.check()
        with TemporaryDirectory() as place:
            raw = Path(place)
            agent.fetch_all([(f"{folder}/{file['path']}", raw / file["path"]) for file in reply["files"]])
            capacity = _read(raw, reply, planned)
        agent.call("remember", timeout=LIMIT, name=planned.name, value=msgspec.to_builtins(capacity))
        agent.call("remove", timeout=LIMIT, path=folder)
        return capacity


def _read(raw: Path, reply: dict[str, Any], planned: _Planned) -> Capacity:
    """Raises TaskError with the load generator's last words, ParseError for what it printed."""
    if reply["exit"] != 0:
        said = (raw / "stderr").read_text(errors="replace").splitlines()[-1:]
        raise TaskError(f"it ended with {reply['exit']}: {' '.join(said)}")
    report = json.loads((raw / REPORT).read_bytes())
    loader, workload = loaders.get(planned.role), planned.run.workload
    last = report["end"] - TAIL
    window = Window(start=last - workload.duration, end=last)
    throughput = loader.parse(raw, window, workload).metrics["throughput"].value
    if not throughput:
        raise ParseError("nothing was completed")
    return Capacity(
        throughput=throughput,
        busy=round(report["busy"], 4),
        target_busy=round(report["target_busy"], 4),
        measured=report["end"],
    )
