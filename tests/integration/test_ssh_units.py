"""Agents on hosts with systemd: a unit of its own, tasks in cgroups, nothing left."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from benchctl.benchmark.connection import AgentConnection, connect
from benchctl.model.host import Host
from tests.lab.host import LabHost, await_true

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.lab import Lab

LIMIT = 60.0
RUN = f"run-units-{os.getpid()}"
UNITS = "systemctl list-units --all --no-legend --plain 'benchctl-*'"
# Away from its parent, its session and the marker in its environment: only a cgroup still holds it.
RUNAWAY = "setsid sh -c 'env -i sleep 1000 & exit' & sleep 1000"


@pytest.fixture
def host(lab: Lab) -> LabHost:
    return lab.hosts(1)[0]


@pytest.fixture
def agent(host: LabHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AgentConnection]:
    monkeypatch.setenv("BENCHCTL_CACHE", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    made = reach(host)
    yield made
    made.call("end", timeout=LIMIT)
    made.close()
    await_true(lambda: "active running" not in host.shell(UNITS), "the unit has ended")
    assert not host.shell("pgrep --full [b]enchctl/agent || true")


def reach(host: LabHost, user: str = "root") -> AgentConnection:
    there = Host(name=host.name, transport="ssh", options=host.options(user))
    return connect(there, RUN, owner="tests", ttl=60)


def test_the_supervisor_is_a_unit_in_the_bench_slice(host: LabHost, agent: AgentConnection) -> None:
    cgroup = host.shell(f"cat /proc/{agent.hello['pid']}/cgroup")
    assert "/bench.slice/benchctl-" in cgroup
    unit = host.shell(UNITS).split()[0]
    shown = host.shell(f"systemctl show --property=Delegate,KillMode,MainPID {unit}").split()
    assert sorted(shown) == ["Delegate=yes", "KillMode=mixed", f"MainPID={agent.hello['pid']}"]


def test_a_task_dies_whole_in_a_cgroup_of_its_own(host: LabHost, agent: AgentConnection) -> None:
    cwd = f"{agent.hello['work']}/trials/t1"
    argv = ["sh", "-c", RUNAWAY]
    agent.call("launch", timeout=LIMIT, task="t1", argv=argv, cwd=cwd, limit=LIMIT)
    await_true(lambda: len(host.shell("pgrep -x sleep || true").split()) == 2, "both sleep")
    for pid in host.shell("pgrep -x sleep").split():
        assert ".service/t1." in host.shell(f"cat /proc/{pid}/cgroup")
    agent.call("cancel", timeout=LIMIT, task="t1")
    assert agent.call("await", timeout=LIMIT, task="t1")["cancelled"]
    assert not host.shell("pgrep -x sleep || true")
    folder = host.shell("find /sys/fs/cgroup -type d -name 't1.*'")
    assert not folder


def test_a_killed_supervisor_takes_its_tasks_along(host: LabHost, agent: AgentConnection) -> None:
    cwd = f"{agent.hello['work']}/trials/t1"
    agent.call("launch", timeout=LIMIT, task="t1", argv=["sh", "-c", RUNAWAY], cwd=cwd, limit=LIMIT)
    host.shell(f"kill -9 {agent.hello['pid']}")
    await_true(lambda: not host.shell("pgrep -x sleep || true"), "systemd ends the unit")
    agent.close()
    again = reach(host)
    assert again.hello["pid"] != agent.hello["pid"]
    agent.__dict__.update(again.__dict__)  # the fixture ends what is there now


def test_without_root_it_outlives_its_login(
    host: LabHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCHCTL_CACHE", str(tmp_path))
    agent = reach(host, "plain")
    try:
        assert agent.hello["uid"] != 0
        assert "active running" not in host.shell(UNITS)
        asked = agent.submit("stamps", want={"x": "1"})
        host.cut_ssh()
        assert asked.result(LIMIT) == {"differ": ["x"]}
        assert agent.call("stamps", timeout=LIMIT, want={}) == {"differ": []}
    finally:
        agent.call("end", timeout=LIMIT)
        agent.close()
    await_true(lambda: not host.shell("pgrep --full [b]enchctl/agent || true"), "no agent runs")
