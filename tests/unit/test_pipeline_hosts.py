"""Hosts that are made for a run, on fakes: the intent comes first, and they go on every exit path."""

from __future__ import annotations

import itertools
import signal
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.errors import ConnectionLostError, EngineError, InterruptedRunError, ServiceError, StackError
from benchctl.journal import read
from benchctl.model.event import Message
from benchctl.model.host import Host, Inventory
from benchctl.pipeline.hosts import KEPT, expiry, hosts_made
from benchctl.provision import HostMaker
from tests.unit.test_pipeline import World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchctl.model.experiment import Experiment
    from benchctl.testing.agent import FakeAgent

LONG = 10.0**6  # seconds


class Maker:
    """Makes the one host of the fake world; knows what was asked of it, and what the journal said by then."""

    provider = "lab"
    state = "file:///state"

    def __init__(self, world: World, lasting: float = LONG) -> None:
        self.world = world
        self.lasting = lasting
        self.expires = 0.0
        self.asked: list[str] = []
        self.before: Callable[[str], object] = lambda what: None

    def check(self) -> None:
        self.note("check")

    def provision(self, experiment: Experiment) -> Inventory:
        return self.up(self.world.clock() + self.lasting)

    def up(self, expires: float) -> Inventory:
        self.note("up")
        self.expires = expires
        host = Host(name="localhost", transport="pipe")
        return Inventory(groups={"dbms": (host,), "loader": (host,)})

    def remove(self) -> None:
        self.note("remove")

    def note(self, what: str) -> None:
        entries = read(self.world.store.path / "journal.jsonl")
        self.asked.append(f"{what} in {entries[-1].act}.{entries[-1].phase}")
        self.before(what)


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.provisioner = Maker(made)
    return made


def maker(world: World) -> Maker:
    assert isinstance(world.provisioner, Maker)
    assert isinstance(world.provisioner, HostMaker)
    return world.provisioner


def there(world: World) -> bool:
    return hosts_made(read(world.store.path / "journal.jsonl"))


def said(world: World) -> str:
    return "\n".join(event.text for event in world.events if isinstance(event, Message))


def test_the_intent_is_in_the_journal_before_the_engine_acts(world: World) -> None:
    world.execute()
    assert maker(world).asked == [
        "check in step.provision.meant",
        "up in hosts.make.meant",
        "remove in hosts.remove.meant",
    ]
    assert not there(world)


def test_without_an_engine_nothing_is_meant_and_nothing_undone(world: World) -> None:
    def refuse(what: str) -> None:
        raise EngineError("there is none")

    maker(world).before = refuse
    with pytest.raises(EngineError):
        world.execute()
    assert maker(world).asked == ["check in step.provision.meant"]
    assert not there(world)


@pytest.mark.parametrize("error", [StackError("no capacity"), RuntimeError("a defect")])
def test_an_up_that_fails_is_undone(world: World, error: Exception) -> None:
    def fail(what: str) -> None:
        if what == "up":
            raise error

    maker(world).before = fail
    with pytest.raises(type(error)):
        world.execute()
    assert maker(world).asked[-1] == "remove in hosts.remove.meant"
    assert not there(world)


def test_ctrl_c_in_mid_provision_destroys(world: World) -> None:
    def stop(what: str) -> None:
        if what == "up":
            world.cancel.request(signal.SIGINT)
            raise StackError("the engine was stopped")

    maker(world).before = stop
    with pytest.raises(InterruptedRunError):
        world.execute()
    assert not there(world)


def test_a_trial_that_fails_takes_the_hosts_away_without_asking_them(world: World) -> None:
    world.prepare = lambda agent: agent.script("image", ServiceError("initdb failed"))
    with pytest.raises(ServiceError):
        world.execute()
    assert "remove" not in world.ops()  # of the run's files: they go with the host
    assert not there(world)


def test_a_remove_that_fails_is_told_and_can_be_repeated(world: World) -> None:
    def fail(what: str) -> None:
        if what == "remove":
            raise StackError("no answer")

    maker(world).before = fail
    with pytest.raises(StackError):
        world.execute()
    assert there(world)
    assert "benchctl destroy one" in said(world)
    maker(world).before = lambda what: None
    world.execute("destroy", "destroy")
    assert not there(world)


def test_kept_hosts_are_given_time_and_it_is_said(world: World) -> None:
    world.execute(keep=True)
    assert there(world)
    until = expiry(read(world.store.path / "journal.jsonl"))
    assert until == maker(world).expires
    assert KEPT - 1000 < until - world.clock() <= KEPT
    assert "the hosts stay for 8h00m" in said(world)


def test_steps_later_on_give_the_hosts_the_time_they_need(world: World) -> None:
    maker(world).lasting = 60.0
    world.execute("provision", "provision")
    world.execute("configure", "configure")
    needed = world.store.plan().experiment.limits.run
    assert maker(world).asked[-1] == "up in hosts.extend.meant"
    assert maker(world).expires > world.clock() + needed
    world.execute("configure", "configure")
    assert maker(world).asked.count("up in hosts.extend.meant") == 1


def late_in_the_first_trial(world: World, left: float) -> None:
    """In the first trial time passes, until the hosts have so many seconds left."""
    world.execute("provision", "configure")

    def wait(agent: FakeAgent) -> None:
        def pass_time(_: dict[str, Any]) -> dict[str, Any]:
            world.moments = itertools.count(int(maker(world).expires - left))
            return {"counters": {}}

        agent.script("stats", pass_time)

    world.prepare = wait
    maker(world).asked.clear()


def test_hosts_get_more_time_between_trials_when_the_next_one_could_outlive_them(world: World) -> None:
    late_in_the_first_trial(world, left=60)
    world.execute("benchmark", "collect")
    assert maker(world).asked == ["up in hosts.extend.meant"]
    acts = [act for act in world.acts() if act in {"trial", "hosts.extend"}]
    assert acts == ["trial", "hosts.extend", "trial", "trial", "trial"]
    assert maker(world).expires > world.clock() + world.store.plan().experiment.limits.run
    assert "hosts" not in said(world)


def test_hosts_that_cannot_get_more_time_are_warned_of_once_and_the_trials_go_on(world: World) -> None:
    def fail(what: str) -> None:
        raise StackError("no answer")

    late_in_the_first_trial(world, left=500)
    maker(world).before = fail
    world.execute("benchmark", "collect")
    assert world.acts("done").count("trial") == 4
    assert maker(world).asked == ["up in hosts.extend.meant"]  # far from half of the time
    (warned,) = [event for event in world.events if isinstance(event, Message) and "more time" in event.text]
    assert warned.level == "warning"
    assert warned.text.startswith("the hosts shut themselves down at ")
    assert "UTC, in 8m" in warned.text
    assert "; they could not be given more time: The hosts could not be made" in warned.text


def test_hosts_that_are_gone_already_are_not_made_again_in_mid_run(world: World) -> None:
    late_in_the_first_trial(world, left=-60)
    world.execute("benchmark", "collect")
    assert maker(world).asked == []


def test_a_host_that_ran_out_of_time_is_named_so(world: World) -> None:
    def pass_time(_agent: object) -> None:
        maker(world).world.moments = itertools.count(2_000_000_000)
        raise ConnectionLostError("localhost: the connection ended")

    world.execute("provision", "configure")
    world.prepare = pass_time
    with pytest.raises(StackError, match=r"shut themselves down at .* as they were made to"):
        world.execute("collect", "destroy")
    assert not there(world)


def test_a_resumed_run_gets_new_hosts_and_asks_nothing_of_those_that_are_gone(world: World) -> None:
    world.prepare = lambda agent: agent.script("image", ServiceError("initdb failed"))
    with pytest.raises(ServiceError):
        world.execute()
    before = len(world.agents)
    world.prepare = lambda agent: None
    world.execute()
    assert len(world.agents) == before + 1
    assert [what.split()[0] for what in maker(world).asked] == ["check", "up", "remove"] * 2
