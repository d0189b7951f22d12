"""The way back over several hosts: one that is gone keeps no other from being cleaned."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from benchctl.benchmark.cancel import Cancel
from benchctl.errors import ConnectionLostError, LeaseError, UnreachableError
from benchctl.journal import read
from benchctl.model.event import Message
from benchctl.model.host import Host, Inventory
from benchctl.pipeline.execute import execute
from benchctl.pipeline.recovery import left_open
from benchctl.pipeline.session import Session
from benchctl.pipeline.state import read_state
from benchctl.pipeline.undo import release
from benchctl.provision import to_ansible
from benchctl.results.store import RunStore
from benchctl.testing.agent import FakeAgent
from benchctl.testing.playbooks import FakePlaybookRunner
from tests.builders import plan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchctl.model.event import Event
    from benchctl.model.experiment import Experiment

NAMES = ("a", "b", "c")


class World:
    """Three hosts, some of which may be gone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = RunStore.create(folder / "runs" / "one", experiment_text="", plan=plan())
        self.gone: set[str] = set()
        self.refused = ""
        self.events: list[Event] = []
        self.agents: dict[str, list[FakeAgent]] = {name: [] for name in NAMES}
        self._numbers = itertools.count()

    def provision(self, experiment: Experiment) -> Inventory:
        hosts = {name: Host(name=name, transport="ssh", options={"address": name}) for name in NAMES}
        return Inventory(groups={"dbms": (hosts["a"],), "loader": (hosts["b"], hosts["c"])})

    def connect(self, hosts: Sequence[Host], run: str, owner: str, ttl: float) -> dict[str, FakeAgent]:
        if self.refused:
            raise LeaseError(self.refused)
        gone = sorted({host.name for host in hosts} & self.gone)
        if gone:
            raise UnreachableError("; ".join(f"{name}: no route" for name in gone))
        return {host.name: self._agent(host.name) for host in hosts}

    def _agent(self, name: str) -> FakeAgent:
        agent = FakeAgent(self.folder / name, host=name, run=f"run-{next(self._numbers)}")
        self.agents[name].append(agent)
        return agent

    def session(self) -> Session:
        return Session(
            store=self.store,
            plan=self.store.plan(),
            journal=self.store.journal(),
            listener=self.events.append,
            cancel=Cancel(),
            clock=lambda: 1_700_000_000.0,
            timer=lambda: 1.0,
            provisioner=self,
            runner=FakePlaybookRunner(),
            connect=self.connect,
        )

    def opened(self) -> Session:
        """A session that reached all hosts."""
        self.store.save_inventory(to_ansible(self.provision(self.store.plan().experiment)))
        session = self.session()
        session.fleet()
        return session

    def ops(self, name: str) -> list[str]:
        return [op for agent in self.agents[name] for op, _ in agent.calls if op != "hello"]

    def lose(self, name: str) -> None:
        """The host falls silent, and cannot be reached again."""
        self.gone.add(name)
        self.agents[name][-1].script("hello", ConnectionLostError(f"{name}: gone"))

    def destroy(self) -> None:
        session = self.session()
        try:
            execute(session, first="destroy", last="destroy")
        finally:
            session.journal.close()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_every_host_is_ended_and_its_connection_closed(world: World) -> None:
    session = world.opened()
    release(session)
    assert [world.ops(name) for name in NAMES] == [["end"]] * 3
    assert all(agent.closed for agents in world.agents.values() for agent in agents)
    assert left_open(session.journal.entries()) == set()


def test_a_host_that_is_gone_keeps_no_other_from_being_cleaned(world: World) -> None:
    session = world.opened()
    world.lose("b")
    with pytest.raises(ConnectionLostError) as caught:
        release(session)
    assert "not cleaned: b; 2 of 3 hosts are clean" in str(caught.value)
    assert "`benchctl destroy one` cleans it" in caught.value.remedy
    assert [world.ops(name) for name in NAMES] == [["end"], [], ["end"]]
    assert left_open(session.journal.entries()) == {"b"}
    session.journal.close()


def test_destroy_cleans_what_was_left_when_it_can_be_reached_again(world: World) -> None:
    session = world.opened()
    world.lose("b")
    with pytest.raises(ConnectionLostError):
        release(session)
    session.journal.close()
    with pytest.raises(ConnectionLostError, match="b: no route"):
        world.destroy()
    assert [world.ops(name)[-2:] for name in ("a", "c")] == [["remove", "end"]] * 2
    world.gone.clear()
    world.destroy()
    assert world.ops("b") == ["remove", "end"]
    assert read_state(world.store).steps["destroy"] == "done"
    assert left_open(read(world.store.path / "journal.jsonl")) == set()


def test_an_agent_that_must_be_reached_again_is_cleaned_too(world: World) -> None:
    session = world.opened()
    world.agents["b"][-1].script("hello", ConnectionLostError("b: the connection broke"))
    release(session)
    assert [agent.closed for agent in world.agents["b"]] == [True, True]
    assert world.ops("b") == ["end"]
    session.journal.close()


def test_a_refused_host_leaves_the_run_as_it_was_planned(world: World) -> None:
    world.refused = "a: held by somebody@elsewhere"
    session = world.session()
    with pytest.raises(LeaseError):
        execute(session)
    session.journal.close()
    assert read_state(world.store).state == "planned"
    assert not [e for e in world.events if isinstance(e, Message) and "way back failed" in e.text]
    world.destroy()
    assert world.agents == {name: [] for name in NAMES}
