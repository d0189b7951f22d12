"""The whole pipeline on fakes: order of steps, the way back on every exit path, crash and resume."""

from __future__ import annotations

import itertools
import json
import signal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from benchctl.benchmark.cancel import Cancel
from benchctl.errors import (
    ConnectionLostError,
    InterruptedRunError,
    LeaseError,
    RunStateError,
    ServiceError,
    SpecError,
)
from benchctl.model.comparison import TrialCounts
from benchctl.model.event import Message, StepStarted
from benchctl.pipeline.execute import execute
from benchctl.pipeline.session import Session
from benchctl.pipeline.state import read_state
from benchctl.pipeline.summary import load_view, summarise
from benchctl.provision import LocalProvisioner
from benchctl.results.store import RunStore
from benchctl.testing.agent import FakeAgent
from benchctl.testing.playbooks import FakePlaybookRunner
from tests.builders import plan
from tests.unit.test_benchmark_executor import DESCRIPTOR

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchctl.model.event import Event
    from benchctl.model.host import Host
    from benchctl.provision import Provisioner


class World:
    """One host that outlives executions, and the run that works on it."""

    def __init__(self, folder: Path, *, blocks: int = 2) -> None:
        self.folder = folder
        self.store = RunStore.create(folder / "runs" / "one", experiment_text="", plan=plan(blocks=blocks))
        self.events: list[Event] = []
        self.cancel = Cancel()
        self.provisioner: Provisioner = LocalProvisioner()
        self.agents: list[FakeAgent] = []
        self.prepare: Callable[[FakeAgent], object] = lambda agent: None
        self.facts: dict[str, Any] = {}
        self.descriptor: dict[str, Any] = DESCRIPTOR
        self.runner = FakePlaybookRunner(effect=lambda call: self._roles())
        self.moments = itertools.count(1_700_000_000)
        self._timer = itertools.count()

    def connect(self, hosts: Sequence[Host], run: str, owner: str, ttl: float) -> dict[str, FakeAgent]:
        return {host.name: self._connect(host, run) for host in hosts}

    def _connect(self, host: Host, run: str) -> FakeAgent:
        agent = FakeAgent(self.folder, host=host.name, run=f"{run}-{len(self.agents)}", clock=self.clock)
        agent.outputs["stdout"] = b'{"throughput": 100.0}\n'
        if self.facts:
            agent.script("fingerprint", {"facts": self.facts})
        self.prepare(agent)
        self.agents.append(agent)
        return agent

    def clock(self) -> float:
        return float(next(self.moments))

    def timer(self) -> float:
        return float(next(self._timer))

    def execute(self, first: str = "provision", last: str = "destroy", *, keep: bool = False) -> None:
        journal = self.store.journal()
        session = Session(
            store=self.store,
            plan=self.store.plan(),
            journal=journal,
            listener=self.events.append,
            cancel=self.cancel,
            clock=self.clock,
            timer=self.timer,
            provisioner=self.provisioner,
            runner=self.runner,
            connect=self.connect,
        )
        try:
            execute(session, first=first, last=last, keep=keep)
        finally:
            journal.close()

    def ops(self) -> list[str]:
        """What the agents were asked to do, in order; greetings change nothing."""
        return [op for agent in self.agents for op, _ in agent.calls if op != "hello"]

    def acts(self, phase: str = "meant") -> list[str]:
        journal = (self.store.path / "journal.jsonl").read_text().splitlines()
        entries = [json.loads(line) for line in journal]
        return [e["act"] for e in entries if e["phase"] == phase]

    def _roles(self) -> None:
        for name, content in (
            ("instances/postgresql-1", self.descriptor),
            ("loaders/command", {"role": "command"}),
        ):
            path = self.folder / "cache" / name / "descriptor.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_steps_run_in_their_order_and_the_host_is_given_back(world: World) -> None:
    world.execute()
    steps = [event.step for event in world.events if isinstance(event, StepStarted)]
    assert steps == ["provision", "configure", "benchmark", "collect", "destroy"]
    assert world.ops()[-2:] == ["remove", "end"]
    assert all(agent.closed for agent in world.agents)
    state = read_state(world.store)
    assert (state.state, state.trials_done, state.trials_failed) == ("finished", 4, {})
    assert world.store.summary().state == "finished"


def test_every_intent_is_journaled_before_the_act_and_closed_after(world: World) -> None:
    world.execute()
    journal = [json.loads(line) for line in (world.store.path / "journal.jsonl").read_text().splitlines()]
    meant = {e["seq"] for e in journal if e["phase"] == "meant"}
    assert meant == {e["of"] for e in journal if e["phase"] in {"done", "failed"}}
    assert [e["seq"] for e in journal] == list(range(1, len(journal) + 1))


def test_a_step_that_fails_is_followed_by_the_way_back_and_its_error_goes_on(world: World) -> None:
    world.prepare = lambda agent: agent.script("image", ServiceError("initdb failed"))
    with pytest.raises(ServiceError, match="initdb failed"):
        world.execute()
    assert world.ops()[-2:] == ["remove", "end"]
    state = read_state(world.store)
    assert state.state == "failed"
    assert "initdb failed" in state.reason
    assert state.steps["destroy"] == "done"


def test_a_signal_keeps_what_is_done_and_undoes_the_rest(world: World) -> None:
    def second_stop(agent: FakeAgent) -> None:
        def stop(_: dict[str, Any]) -> dict[str, Any]:
            world.cancel.request(signal.SIGTERM)
            return {"exit": 0, "how": "SIGINT", "seconds": 0.0, "running_before": True}

        agent.script("stop", {}, stop)

    world.prepare = second_stop
    with pytest.raises(InterruptedRunError):
        world.execute()
    state = read_state(world.store)
    assert (state.state, state.trials_done, state.trials_failed) == ("interrupted", 1, {})
    assert state.steps["benchmark"] == "interrupted"
    assert world.ops()[-1] == "end"


def test_keep_stops_what_runs_but_does_not_destroy(world: World) -> None:
    world.execute(keep=True)
    assert world.ops()[-1] == "end"
    assert "step.destroy" not in world.acts()


def test_the_steps_one_at_a_time_give_the_same(world: World) -> None:
    for step in ("provision", "configure", "benchmark", "collect", "destroy"):
        world.execute(step, step)
    assert read_state(world.store).state == "finished"
    assert read_state(world.store).trials_done == 4
    assert world.ops()[-1] == "end"


def test_destroy_is_safe_to_repeat_and_on_a_run_that_made_nothing(world: World) -> None:
    world.execute("destroy", "destroy")
    assert world.agents == []
    world.execute()
    for _ in range(2):
        world.execute("destroy", "destroy")
    assert read_state(world.store).steps["destroy"] == "done"


def test_a_host_that_another_run_holds_is_left_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(hosts: Sequence[Host], run: str, owner: str, ttl: float) -> dict[str, FakeAgent]:
        raise LeaseError("localhost: held by somebody@elsewhere")

    monkeypatch.setattr(world, "connect", refuse)
    with pytest.raises(LeaseError, match="somebody@elsewhere"):
        world.execute()
    assert not [e for e in world.events if isinstance(e, Message) and "way back failed" in e.text]


def test_a_supervisor_that_is_gone_is_reached_again_to_clean_up(world: World) -> None:
    def die(agent: FakeAgent) -> None:
        if not world.agents:
            agent.script("await", ConnectionLostError("gone"))
            agent.script("hello", ConnectionLostError("gone"))

    world.prepare = die
    with pytest.raises(ConnectionLostError):
        world.execute()
    assert len(world.agents) == 2
    assert world.agents[1].calls[-1][0] == "end"


def test_an_invalid_trial_gets_one_make_up_block(world: World) -> None:
    world.prepare = lambda agent: agent.differing.update(fsync="off")
    world.execute()
    trials = world.store.trials()
    invalid = [t.ordinal for t in trials if t.validity == "invalid"]
    assert invalid == [t.ordinal for t in trials if t.treatment == "t01"]
    assert [t.block for t in trials] == [1, 1, 2, 2, 3, 3]


def test_recomputing_gives_the_same_bytes_from_raw_files_alone(world: World) -> None:
    world.execute()
    before = (world.store.path / "summary.json").read_bytes()
    for path in world.store.path.glob("trials/*/trial.json"):
        content = json.loads(path.read_text())
        content["result"]["metrics"]["throughput"]["value"] = 1.0
        content["validity"] = "invalid"
        path.write_text(json.dumps(content))
    world.store.save_summary(summarise(world.store, recompute=True))
    assert (world.store.path / "summary.json").read_bytes() == before
    world.store.save_summary(summarise(world.store))
    assert (world.store.path / "summary.json").read_bytes() != before


def test_a_view_holds_what_reports_show(world: World) -> None:
    world.execute()
    view = load_view(world.store)
    assert len(view.trials) == 4
    assert view.started < (view.ended or 0)
    assert list(view.fingerprints) == ["localhost"]


def test_a_stored_summary_is_not_shown_once_more_has_happened(world: World) -> None:
    world.execute()
    assert load_view(world.store).summary == world.store.summary()
    old = msgspec.structs.replace(world.store.summary(), trials=TrialCounts(planned=4, ok=1))
    world.store.save_summary(old)
    assert load_view(world.store).summary.trials.ok == 4
    assert world.store.summary() == old


def test_a_run_that_goes_on_is_seen_as_it_is_now(world: World) -> None:
    world.execute()
    journal = world.store.journal()
    journal.note("run.started", pid=1, version="0", steps=[])
    try:
        assert load_view(world.store).summary.state == "running"
    finally:
        journal.close()
    assert world.store.summary().state == "finished"


def test_a_run_without_hosts_says_which_step_is_missing(world: World) -> None:
    with pytest.raises(RunStateError, match="one has no hosts") as caught:
        load_view(world.store)
    assert "`benchctl provision one` first" in (caught.value.remedy or "")


def test_settings_that_the_server_refuses_end_the_run_before_its_first_trial(world: World) -> None:
    world.descriptor = {**DESCRIPTOR, "check": {"argv": ["postgres"]}}
    refused = {"said": 'unrecognized configuration parameter "fsync"', "names": []}
    world.prepare = lambda agent: agent.script("check", refused)
    with pytest.raises(SpecError, match=r"dbms\.settings\.fsync: the server on localhost does not take it"):
        world.execute()
    assert "image" not in world.ops()
    assert "trial" not in world.acts()
    assert read_state(world.store).state == "failed"


def test_a_resume_on_another_host_is_refused_by_name(world: World) -> None:
    world.facts = {"cpu.model": "one", "host.name": "a"}
    world.prepare = lambda agent: agent.script("await", {}, {}, ConnectionLostError("gone"))
    with pytest.raises(ConnectionLostError):
        world.execute()
    world.facts = {"cpu.model": "other", "host.name": "a"}
    with pytest.raises(RunStateError, match=r"cpu\.model was 'one', is 'other'"):
        world.execute()


def test_a_reboot_is_noted_in_the_summary(world: World) -> None:
    world.prepare = lambda agent: agent.script("await", {}, ConnectionLostError("gone"))
    with pytest.raises(ConnectionLostError):
        world.execute()
    world.prepare = lambda agent: agent.hello.update(boot_id="another")
    world.execute()
    assert world.store.summary().notes[-1] == "the host was rebooted before trial 2"


class Crash(BaseException):
    """kill -9 of the controller: nothing runs after it."""


def crashing(world: World, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Execute with a crash right after the journal's entry `at` is on disk."""
    from benchctl.journal import Journal

    real = Journal._append  # noqa: SLF001 - the one place that every entry goes through

    def append(self: Journal, *args: Any) -> int:
        seq = real(self, *args)
        if seq >= at:
            raise Crash
        return seq

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "_append", append)
        try:
            world.execute()
        except Crash:
            return
        raise AssertionError("the run ended before the crash point")


def entries_of_a_whole_run(folder: Path) -> int:
    world = World(folder)
    world.execute()
    return len(world.store.journal().entries())


@pytest.mark.parametrize("then", ["resume", "destroy"])
def test_a_crash_at_every_journal_entry_loses_and_repeats_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    for sync in ("fsync", "fdatasync"):  # no power is cut here, and there are hundreds of runs
        monkeypatch.setattr(f"os.{sync}", lambda _: None)
    total = entries_of_a_whole_run(tmp_path / "whole")
    assert total > 40
    for at in range(1, total):
        world = World(tmp_path / f"{then}-{at}")
        crashing(world, monkeypatch, at)
        finished = {t.ordinal: t for t in world.store.trials()}
        if then == "destroy":
            world.execute("destroy", "destroy")
        else:
            world.execute()
            trials = {t.ordinal: t for t in world.store.trials()}
            assert sorted(trials) == [1, 2, 3, 4], at
            assert {o: trials[o] for o in finished} == finished, at
            assert read_state(world.store).state == "finished", at
        connected = [agent for agent in world.agents if agent is not world.agents[0]] or world.agents
        assert not connected or connected[-1].calls[-1][0] == "end", at
