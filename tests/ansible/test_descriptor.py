"""The descriptor that role postgresql writes, executed by the real agent on the real PostgreSQL."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchctl.benchmark.connection import AgentConnection, connect
from benchctl.benchmark.fleet import Fleet
from benchctl.configure import AnsibleRunner, Converged, converge
from benchctl.model.experiment import Dbms, Experiment, Workload
from benchctl.model.plan import Instance, Plan, Treatment
from benchctl.provision import LocalProvisioner

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.ansible, pytest.mark.postgres, pytest.mark.slow]

INSTANCE = Instance(
    id="postgresql-1", role="postgresql", group="dbms", options={"version": "18", "source": "wheel"}
)
WORKLOAD = Workload(role="pgbench")
EXPERIMENT = Experiment(name="e", dbms=Dbms(role="postgresql"), workload=WORKLOAD)
PLAN = Plan(
    experiment=EXPERIMENT,
    origins={},
    factors=(),
    instances=(INSTANCE,),
    images=(),
    treatments=(
        Treatment(
            id="t01",
            levels={},
            dbms=EXPERIMENT.dbms,
            workload=WORKLOAD,
            instance=INSTANCE.id,
            image=None,
        ),
    ),
    stages=(),
    trials=(),
    expected_seconds=0,
)


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AgentConnection]:
    monkeypatch.setenv("BENCHCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BENCHCTL_LEASE_DIR", str(tmp_path / "lease"))
    inventory = LocalProvisioner().provision(EXPERIMENT)
    connection = connect(inventory.hosts[0], f"descriptor-{os.getpid()}", owner="test", ttl=120)
    try:
        yield connection
    finally:
        connection.call("end", timeout=60)
        connection.close()


def test_a_converged_host_runs_what_a_trial_needs(agent: AgentConnection, tmp_path: Path) -> None:
    inventory = LocalProvisioner().provision(EXPERIMENT)
    fleet = Fleet({"localhost": agent})
    told: list[str] = []

    def act() -> Converged:
        return converge(PLAN, inventory, fleet, AnsibleRunner(), run_dir=tmp_path, on_event=told.append)

    results = [act(), act()]
    assert "localhost: postgresql : Write the descriptor, and what it names" in told
    assert [result.ansible for result in results] == [True, False]

    path = results[0].descriptors["localhost"][INSTANCE.id]
    assert (json.loads(Path(path).read_text())["run_as"] == "self") == (os.getuid() != 0)
    assert agent.call("check", timeout=60, descriptor=path, settings={"work_mem": "8MB"})["said"] == ""
    refused = agent.call("check", timeout=60, descriptor=path, settings={"shared_bufers": "1GB"})
    assert '"shared_bufers"' in refused["said"]
    assert {"shared_buffers", "work_mem"} <= set(refused["names"])
    wrong = agent.call("check", timeout=60, descriptor=path, settings={"work_mem": "8 apples"})
    assert '"work_mem"' in wrong["said"]
    agent.call("image", timeout=120, descriptor=path, image="empty")
    agent.call("reset", timeout=60, descriptor=path, image="empty")
    wanted = {"work_mem": "8192kB", "max_connections": 17, "fsync": "on", "cluster_name": "it's \\ x"}
    agent.call("start", timeout=60, descriptor=path, settings=wanted)

    seen = agent.call("inspect", timeout=60, descriptor=path, names=[*wanted, "listen_addresses"])
    settings = seen["settings"]
    assert seen["version"].startswith("18.")
    assert (settings["work_mem"], settings["max_connections"]) == ("8MB", "17")
    assert settings["cluster_name"] == wanted["cluster_name"]
    assert settings["listen_addresses"] == ""

    before = agent.call("stats", timeout=60, descriptor=path)["counters"]
    agent.call("checkpoint", timeout=60, descriptor=path)
    after = agent.call("stats", timeout=60, descriptor=path)["counters"]
    assert after["checkpointer.num_requested"] > before["checkpointer.num_requested"]
    assert {name.split(".")[0] for name in after} == {"bgwriter", "checkpointer", "database", "io", "wal"}

    stopped = agent.call("stop", timeout=60, descriptor=path)
    assert (stopped["how"], stopped["exit"]) == ("SIGINT", 0)
