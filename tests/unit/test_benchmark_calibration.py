"""Calibration on fake agents: measured once, remembered by the host, told where it cannot be."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from benchctl import gates
from benchctl.benchmark.bench import Bench, Descriptor
from benchctl.benchmark.calibration import Capacities, calibrate
from benchctl.benchmark.cancel import Cancel
from benchctl.benchmark.evaluation import evaluate, measured
from benchctl.benchmark.fleet import Fleet
from benchctl.benchmark.trial import TrialRun
from benchctl.errors import ConnectionLostError, InterruptedRunError
from benchctl.journal import Journal
from benchctl.model.event import Message
from benchctl.model.host import Host, Inventory
from benchctl.results.store import RunStore
from benchctl.testing.agent import FakeAgent
from tests.builders import plan

if TYPE_CHECKING:
    from benchctl.model.event import Event
    from benchctl.model.plan import Plan

CASE = Path(__file__).parents[1] / "cases" / "loaders" / "redis_benchmark" / "set"
REACHED = 70821.53
REDIS: dict[str, Any] = {"target": {"socket": "{runtime}/redis.sock", "port": 6379}, "verify": []}
LOADER: dict[str, Any] = {
    "binaries": {"redis-benchmark": "/usr/bin/redis-benchmark"},
    "verify": [{"path": "/usr/bin/redis-benchmark", "sha256": "abc"}],
    "version": "7.0.15",
}


def redis_plan(*clients: int) -> Plan:
    """Two treatments with redis-benchmark."""
    made = plan(blocks=1, role="redis_benchmark")
    treatments = tuple(
        msgspec.structs.replace(
            treatment,
            workload=msgspec.structs.replace(
                treatment.workload, options={"test": "set", "clients": number, "requests": 100_000}
            ),
        )
        for treatment, number in zip(made.treatments, clients, strict=True)
    )
    return msgspec.structs.replace(made, treatments=treatments)


class Rig:
    """A DBMS host and one or two hosts with redis-benchmark, which prints a recorded output."""

    def __init__(self, folder: Path, the_plan: Plan, loaders: int = 1) -> None:
        self.events: list[Event] = []
        self.agents = {name: self._agent(folder / name) for name in ("db", "l1", "l2")[: 1 + loaders]}
        hosts = {name: Host(name=name, transport="pipe") for name in self.agents}
        described = {
            name: {
                "redis_benchmark": Descriptor("/l", LOADER),
                "postgresql-1": Descriptor(agent.add_descriptor("postgresql-1"), REDIS),
            }
            for name, agent in self.agents.items()
        }
        self.cancel = Cancel()
        self.store = RunStore.create(folder / "run", experiment_text="", plan=the_plan)
        self.bench = Bench(
            plan=the_plan,
            inventory=Inventory(
                groups={"dbms": (hosts["db"],), "loader": tuple(hosts[name] for name in list(hosts)[1:])}
            ),
            fleet=Fleet(self.agents),
            descriptors=described,
            images={"image-1": "image"},
            sink=self.store,
            journal=Journal(self.store.path / "journal.jsonl"),
            listener=self.events.append,
            cancel=self.cancel,
            context=gates.Context(shared_host=False, grade="B"),
            clock=lambda: 1_700_000_000.0,
            timer=lambda: 0.0,
        )

    @staticmethod
    def _agent(folder: Path) -> FakeAgent:
        agent = FakeAgent(folder, host=folder.name)
        report = {"start": 1.0, "end": 2.5, "busy": 0.95, "target_busy": 0.5}
        agent.outputs = {
            "stdout": (CASE / "stdout").read_bytes(),
            "stderr": b"",
            "null-target.json": json.dumps(report).encode(),
        }
        return agent

    def calibrate(self) -> Capacities:
        return calibrate(self.bench)

    def launches(self, host: str = "l1") -> list[dict[str, Any]]:
        return [args for op, args in self.agents[host].calls if op == "launch"]

    def told(self) -> list[Message]:
        return [event for event in self.events if isinstance(event, Message)]


def test_each_loader_host_is_measured_against_a_null_target(tmp_path: Path) -> None:
    rig = Rig(tmp_path, redis_plan(5, 9), loaders=2)
    found = rig.calibrate()
    assert found.keys() == {"l1", "l2"}
    for host in found:
        assert {name: capacity.throughput for name, capacity in found[host].items()} == {
            "t01": REACHED,
            "t02": REACHED,
        }
        first, second = rig.launches(host)
        assert first["against"]["protocol"] == "redis"
        assert "socket" not in first["against"]  # the trial's load goes over TCP: so does this one
        assert [args["argv"][args["argv"].index("-c") + 1] for args in (first, second)] == ["5", "9"]
    assert rig.launches("db") == []
    assert "l1: redis_benchmark reaches 70821.5/s against a null target" in {m.text for m in rig.told()}


def test_the_same_load_is_measured_once_and_the_host_remembers(tmp_path: Path) -> None:
    rig = Rig(tmp_path, redis_plan(5, 5))
    found = rig.calibrate()
    assert len(rig.launches()) == 1
    assert rig.calibrate() == found
    assert len(rig.launches()) == 1
    (name,) = {args["name"] for op, args in rig.agents["l1"].calls if op == "remember"}
    rig.agents["l1"].call("remember", timeout=1, name=name, value={"of": "another version"})
    assert rig.calibrate() == found
    assert len(rig.launches()) == 2


def test_another_binary_is_measured_anew(tmp_path: Path) -> None:
    rig = Rig(tmp_path, redis_plan(5, 5))
    rig.calibrate()
    other = {**LOADER, "verify": [{"path": "/usr/bin/redis-benchmark", "sha256": "def"}]}
    described = {**rig.bench.descriptors["l1"], "redis_benchmark": Descriptor("/l", other)}
    rig.bench = replace(rig.bench, descriptors={**rig.bench.descriptors, "l1": described})
    rig.agents["l1"].script("launch", ConnectionLostError("gone"))
    with pytest.raises(ConnectionLostError):
        rig.calibrate()


def test_a_load_that_no_null_target_can_answer_costs_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path, plan(blocks=1))
    described = {
        host: {**known, "command": Descriptor("/c", {})} for host, known in rig.bench.descriptors.items()
    }
    rig.bench = replace(rig.bench, descriptors=described)
    assert rig.calibrate() == {"l1": {}}
    assert not rig.agents["l1"].calls


@pytest.mark.parametrize(
    ("exit_status", "stdout", "said"),
    [(1, b"", "it ended with 1: Could not connect"), (0, b"nonsense\n", "unknown head of a table")],
)
def test_what_goes_wrong_is_told_and_fails_nothing(
    tmp_path: Path, exit_status: int, stdout: bytes, said: str
) -> None:
    rig = Rig(tmp_path, redis_plan(5, 5))
    rig.agents["l1"].outputs |= {"stdout": stdout, "stderr": b"Could not connect" if exit_status else b""}
    rig.agents["l1"].script("await", {"exit": exit_status})
    assert rig.calibrate() == {"l1": {}}
    (message,) = rig.told()
    assert message.level == "warning"
    assert said in message.text
    assert len(rig.launches()) == 1


def test_a_stop_ends_it(tmp_path: Path) -> None:
    rig = Rig(tmp_path, redis_plan(5, 9))

    def stop(_: dict[str, Any]) -> dict[str, Any]:
        rig.cancel.request(2)
        return {}

    rig.agents["l1"].script("launch", stop)
    with pytest.raises(InterruptedRunError):
        rig.calibrate()
    assert len(rig.launches()) == 1


def test_a_trial_has_the_capacity_of_its_own_treatment(tmp_path: Path) -> None:
    rig = Rig(tmp_path, redis_plan(5, 9))
    found = rig.calibrate()
    other = msgspec.structs.replace(found["l1"]["t02"], throughput=1.0)
    rig.bench = replace(rig.bench, capacities={"l1": {**found["l1"], "t02": other}})
    instance = rig.bench.descriptors["db"]["postgresql-1"].path
    rig.agents["db"].call("image", timeout=1, descriptor=instance, image="image")
    trials = [
        TrialRun(rig.bench, planned, rig.bench.plan.treatment(planned.treatment)).run()
        for planned in rig.bench.plan.trials
    ]
    assert [trial.loads[0].capacity for trial in trials] == [found["l1"]["t01"], other]
    judged = [
        next(finding for finding in trial.findings if finding.gate == "loader_capacity") for trial in trials
    ]
    assert [(finding.host, finding.value, finding.validity) for finding in judged] == [
        ("l1", 1.0, "invalid"),
        ("l1", 70821.5, "invalid"),
    ]
    again = evaluate(
        rig.store.trial_folder(2) / "raw",
        measured(rig.store.trials()[1]),
        workload=rig.bench.plan.treatment("t02").workload,
        units={},
        context=rig.bench.context,
    )
    assert again.findings == trials[1].findings
