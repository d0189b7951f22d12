"""An agent that fails, falls silent or finds no place: said by name, and nothing waits for ever."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.benchmark.connection import connect
from benchctl.errors import AgentError, RunStateError, ServiceError, TaskError, UnfitError
from benchctl.model.event import Message, TrialFailed
from benchctl.model.host import Host
from benchctl.pipeline.state import read_state
from tests.builders import plan
from tests.unit.test_benchmark_executor import Rig
from tests.unit.test_pipeline import World

if TYPE_CHECKING:
    from pathlib import Path

SILENT = AgentError("localhost: no reply to hello within 30 s")


def test_an_agent_that_fell_silent_ends_the_run_after_one_trial(tmp_path: Path) -> None:
    world = World(tmp_path, blocks=10)

    def freeze(agent: Any) -> None:
        agent.script("await", {}, AgentError("localhost: no reply to await within 61 s"))
        agent.script("hello", *[SILENT] * 9)

    world.prepare = freeze
    with pytest.raises(AgentError, match="no reply to hello"):
        world.execute()
    assert world.ops().count("launch") == 2
    (told,) = [e.text for e in world.events if isinstance(e, Message) and "way back failed" in e.text]
    assert "`benchctl destroy one` tries again" in told
    world.prepare = lambda agent: None
    world.execute()
    assert (read_state(world.store).state, read_state(world.store).trials_done) == ("finished", 20)


def test_an_agent_that_refused_one_thing_goes_on_with_the_next_trial(tmp_path: Path) -> None:
    rig = Rig(tmp_path, plan(blocks=2))
    rig.agent.script("reset", AgentError("localhost: the data image cannot be copied: No space left"))
    rig.run()
    assert [trial.ordinal for trial in rig.store.trials()] == [2, 3, 4]


@pytest.mark.parametrize(
    "op", ["reset", "start", "inspect", "stats", "launch", "await", "watch", "unwatch", "files"]
)
@pytest.mark.parametrize(
    "failure", [ServiceError("it is gone"), TaskError("it is gone")], ids=["dbms", "task"]
)
def test_a_death_in_any_phase_costs_one_trial_by_name(tmp_path: Path, op: str, failure: Exception) -> None:
    rig = Rig(tmp_path, plan(blocks=2))
    rig.agent.script(op, {}, failure)
    rig.run()
    (failed,) = [event for event in rig.events if isinstance(event, TrialFailed)]
    assert "it is gone" in failed.reason
    assert len(rig.store.trials()) == 3
    assert rig.ops().count("start") <= rig.ops().count("stop")


def test_a_trial_that_cannot_be_put_aside_hides_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(tmp_path, plan(blocks=1))

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(rig.store, "abandon", full)
    rig.agent.script("start", ServiceError("it died"))
    with pytest.raises(RunStateError, match="trial 2 could not be stored"):  # it needs the room
        rig.run()
    assert [e.reason for e in rig.events if isinstance(e, TrialFailed)] == [str(ServiceError("it died"))]


def test_a_user_without_home_is_told_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setenv("XDG_RUNTIME_DIR", "/tmp/b")  # noqa: S108 - only its length matters
    for name in ("BENCHCTL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pathlib.Path.home", homeless)
    with pytest.raises(UnfitError, match="localhost: this user has no home; set BENCHCTL_CACHE"):
        connect(Host(name="localhost", transport="pipe"), "run", owner="me", ttl=1.0)


def test_a_user_without_a_name_may_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr("getpass.getuser", nameless)
    world = World(tmp_path)
    world.execute()
    assert read_state(world.store).state == "finished"
