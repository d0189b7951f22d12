"""Tuning as a part of a run, on fakes: done before the first trial, kept, and given back on every way out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from benchctl.configure.tuning import given_back, told, tune, wanted
from benchctl.errors import ConnectionLostError, RunStateError, ServiceError, UnfitError
from benchctl.journal import Journal
from benchctl.model.event import Message
from benchctl.model.experiment import StageSpec, TaskSpec
from benchctl.model.host import Host, Inventory
from benchctl.model.plan import Stage
from benchctl.model.record import to_json
from benchctl.model.tuning import GroupPlan, HostTuning, KnobOutcome
from benchctl.pipeline.state import read_state
from tests.builders import plan
from tests.unit.test_pipeline import World, crashing

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.testing.agent import FakeAgent

VALUES = {"swappiness": "1", "aslr": "2", "ksm": "0"}
TUNING = GroupPlan(profile="mine.yml", values=VALUES, reboot=False, shared=False)
SUDO = "what sudo wants to hear"
GIVEN_BACK = {"restored": 0, "left": [], "failed": [], "gone": [], "problems": []}


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    tuned = msgspec.structs.replace(made.store.plan(), tuning={"dbms": TUNING, "loader": TUNING})
    (made.store.path / "plan.json").write_bytes(to_json(tuned))
    return made


def texts(world: World, level: str) -> list[str]:
    return [event.text for event in world.events if isinstance(event, Message) and event.level == level]


def last_tune(agent: FakeAgent) -> dict[str, Any]:
    return [args for op, args in agent.calls if op == "tune"][-1]


def test_a_run_tunes_before_its_first_trial_and_gives_back_at_its_end(world: World) -> None:
    world.execute()
    (agent,) = world.agents
    ops = world.ops()
    assert ops.count("tune") == 1
    assert ops.index("tune") < ops.index("image")
    told = {"values": VALUES, "profile": "mine.yml", "shared": False, "roles": ["dbms", "loader"]}
    assert last_tune(agent) == told
    assert agent.knobs == {"swappiness": "60", "aslr": "2"}
    assert "tuned: 1 applied, 1 already, 1 unsupported" in texts(world, "info")
    assert "localhost: ksm unsupported: this host has none" in texts(world, "detail")
    assert "localhost: 1 place restored" in texts(world, "info")
    assert read_state(world.store).tuned == {}


def test_the_outcomes_are_kept_in_the_run_directory(world: World) -> None:
    world.execute()
    kept = world.store.tunings()["localhost"]
    assert (kept.profile, kept.undo) == ("mine.yml", "python3 agent.pyz restore")
    assert {knob.knob: knob.outcome for knob in kept.knobs} == {
        "swappiness": "applied",
        "aslr": "already",
        "ksm": "unsupported",
    }
    assert [knob.knob for knob in kept.missing] == ["ksm"]


def test_the_intent_is_journaled_first_and_the_outcomes_after(world: World) -> None:
    world.execute()
    lines = (world.store.path / "journal.jsonl").read_text().splitlines()
    meant, done = (e for e in map(json.loads, lines) if e["act"] == "tune")
    assert (meant["phase"], meant["data"]) == ("meant", {"host": "localhost", "profile": "mine.yml"})
    assert (done["phase"], done["of"]) == ("done", meant["seq"])
    assert done["data"]["outcomes"] == {"applied": 1, "already": 1, "unsupported": 1}


def test_without_tuning_nothing_is_asked_and_nothing_is_said(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.execute()
    assert not {"tune", "drift"} & set(world.ops())
    assert world.store.tunings() == {}
    assert not [text for text in texts(world, "info") if "restored" in text or "tuned" in text]


def test_each_execution_tunes_for_itself(world: World) -> None:
    world.execute("provision", "configure")
    assert world.agents[0].knobs["swappiness"] == "60"
    world.execute("benchmark", "benchmark")
    assert [agent.knobs["swappiness"] for agent in world.agents] == ["60", "60"]
    assert [sum(op == "tune" for op, _ in agent.calls) for agent in world.agents] == [1, 1]


def test_a_run_that_fails_gives_back(world: World) -> None:
    world.prepare = lambda agent: agent.script("image", ServiceError("initdb failed"))
    with pytest.raises(ServiceError):
        world.execute()
    assert world.agents[-1].knobs["swappiness"] == "60"


def test_a_host_that_cannot_be_tuned_ends_the_run_with_what_to_do(world: World) -> None:
    refusal = UnfitError("localhost: /var/lib/benchctl: Permission denied; nothing was changed")
    world.prepare = lambda agent: agent.script("tune", refusal)
    with pytest.raises(UnfitError, match="Permission denied") as caught:
        world.execute()
    assert "log in there as root" in caught.value.remedy
    assert "image" not in world.ops()


def test_a_host_on_which_nothing_can_be_set_is_said_loudly_and_measured_all_the_same(world: World) -> None:
    why = "it is shared with the machine that this container runs on"
    row = {"knob": "swappiness", "value": "1", "outcome": "blocked", "why": why, "was": {"60": 1}}
    reply = {"knobs": [{**row, "counts": {"blocked": 1}}], "reboot": False, "undo": "restore"}
    world.prepare = lambda agent: agent.script("tune", lambda _: reply)
    world.execute()
    assert f"localhost: no knob could be set: {why}" in texts(world, "warning")
    assert world.store.summary().tuning[0].counts == {"blocked": 1}
    assert read_state(world.store).trials_done == 4


def test_a_value_that_somebody_else_changed_is_named_at_the_end(world: World) -> None:
    row = {"knob": "swappiness", "path": "/proc/sys/vm/swappiness", "was": "60", "found": "33"}
    ended = {"stopped": [], "tuning": {**GIVEN_BACK, "left": [row]}}
    world.prepare = lambda agent: agent.script("end", ended)
    world.execute()
    told = "localhost: left alone: /proc/sys/vm/swappiness: was 60, somebody set it to 33"
    assert told in texts(world, "warning")


@pytest.mark.parametrize("then", ["resume", "destroy"])
def test_a_crash_at_every_journal_entry_leaves_no_host_tuned(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    for sync in ("fsync", "fdatasync"):  # no power is cut here
        monkeypatch.setattr(f"os.{sync}", lambda _: None)
    tuned = world.store.path.joinpath("plan.json").read_bytes()
    world.execute()
    acts = [(e.act, e.phase) for e in world.store.journal().entries()]
    begin, end = acts.index(("tune", "meant")) + 1, acts.index(("end", "done"))
    for at in range(1, len(acts)):
        crashed = World(tmp_path / f"{then}-{at}")
        crashed.store.path.joinpath("plan.json").write_bytes(tuned)
        crashing(crashed, monkeypatch, at)
        expected = {"localhost": "mine.yml"} if begin <= at <= end else {}
        assert read_state(crashed.store).tuned == expected, at
        crashed.execute(*(("destroy", "destroy") if then == "destroy" else ()))
        assert read_state(crashed.store).tuned == {}, at


def test_a_resume_on_a_host_that_takes_other_values_is_refused_by_knob(world: World) -> None:
    world.prepare = lambda agent: agent.script("await", {}, ConnectionLostError("gone"))
    with pytest.raises(ConnectionLostError):
        world.execute()
    world.prepare = lambda agent: agent.knobs.pop("swappiness")
    with pytest.raises(RunStateError, match="cannot be tuned as it was when this run began: swappiness"):
        world.execute()
    assert "end" in world.ops()[-1]
    world.prepare = lambda agent: agent.knobs.update(swappiness="1")  # in force all the same
    world.execute()
    assert read_state(world.store).state == "finished"


def booting(world: World, monkeypatch: pytest.MonkeyPatch, *, allowed: bool) -> None:
    """Let the host want a reboot once tuned, and boot when it is told; it is not this machine then."""
    remote = Host(name="localhost", transport="ssh", options={"address": "192.0.2.1"})
    monkeypatch.setattr("benchctl.provision.local.Host", lambda **_: remote)
    plan_ = world.store.plan()
    tuning = {name: msgspec.structs.replace(one, reboot=allowed) for name, one in plan_.tuning.items()}
    (world.store.path / "plan.json").write_bytes(to_json(msgspec.structs.replace(plan_, tuning=tuning)))

    def prepare(agent: FakeAgent) -> None:
        agent.hello["boot_id"] = f"boot-{sum('reboot' in dict(one.calls) for one in world.agents)}"
        agent.script("tune", {"reboot": agent.hello["boot_id"] == "boot-0"})

    world.prepare = prepare


def test_a_host_boots_again_for_what_is_in_force_only_then(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    booting(world, monkeypatch, allowed=True)
    world.execute()
    first, second = world.agents
    assert [op for op, _ in first.calls if op != "hello"][-2:] == ["tune", "reboot"]
    assert first.closed
    ops = [op for op, _ in second.calls]
    assert ops.index("tune") < ops.index("image")
    assert not world.store.tunings()["localhost"].reboot
    acts = world.acts()
    assert [act for act in acts if act in {"tune", "reboot"}] == ["tune", "reboot", "tune"]
    assert world.acts("done").count("reboot") == 1
    assert "localhost: boots again for its kernel parameters" in texts(world, "info")


def test_without_leave_no_host_boots_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    booting(world, monkeypatch, allowed=False)
    world.execute()
    assert "reboot" not in world.ops()
    assert world.store.tunings()["localhost"].reboot


@pytest.mark.parametrize("leave", ["allowed", "not allowed"])
def test_the_way_back_boots_a_host_once_where_that_is_allowed(
    leave: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = leave == "allowed"
    booting(world, monkeypatch, allowed=allowed)
    prepare = world.prepare

    def lingering(agent: FakeAgent) -> None:
        prepare(agent)
        agent.script("tune", {"reboot": False})
        agent.script("end", {"stopped": [], "tuning": {**GIVEN_BACK, "reboot": True}})

    world.prepare = lingering
    world.execute("provision", "benchmark")
    assert "reboot" not in world.ops()[-1:]
    before = world.ops().count("reboot")
    world.execute("destroy", "destroy")
    assert world.ops().count("reboot") - before == allowed
    told = [text for text in texts(world, "warning") if "until it boots again" in text]
    assert len(told) == (1 if allowed else 2)


class Hosts:
    """A fleet that only tunes; it keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: dict[str, dict[str, Any]] = {}

    def each(self, op: str, args: Any, *, hosts: Any, timeout: float) -> dict[str, dict[str, Any]]:
        assert (op, timeout > 0) == ("tune", True)
        self.asked = {host: args(host) for host in hosts}
        return {host: {"knobs": [], "reboot": False, "undo": "restore"} for host in hosts}


def inventory(**groups: tuple[str, ...]) -> Inventory:
    return Inventory(
        groups={
            group: tuple(Host(name=name, transport="pipe") for name in names)
            for group, names in groups.items()
        }
    )


def test_groups_are_tuned_each_in_its_way_and_told_what_runs_there(tmp_path: Path) -> None:
    peak = msgspec.structs.replace(TUNING, profile="peak", shared=True)
    made = msgspec.structs.replace(plan(), tuning={"dbms": TUNING, "loader": peak})
    chosen = wanted(made, inventory(dbms=("db",), loader=("l1", "l2"), spare=("x",)))
    fleet, journal = Hosts(), Journal(tmp_path / "journal.jsonl")
    tune(chosen, fleet, journal, password=SUDO)  # type: ignore[arg-type]
    journal.close()
    assert list(fleet.asked) == ["db", "l1", "l2"]
    assert (fleet.asked["db"]["profile"], fleet.asked["db"]["roles"]) == ("mine.yml", ["dbms"])
    assert fleet.asked["l1"]["password"] == SUDO
    assert SUDO not in (tmp_path / "journal.jsonl").read_text()
    asked = fleet.asked["l2"]
    assert (asked["profile"], asked["shared"], asked["roles"]) == ("peak", True, ["loader"])


def test_of_stages_services_are_the_dbms_and_the_measured_one_is_the_load() -> None:
    spec = StageSpec(name="any", group="any", tasks=(TaskSpec(run=("true",)),))
    stages = (
        Stage(name="up", group="servers", kind="service", scope="once", spec=spec),
        Stage(name="fill", group="loaders", kind="finish", scope="once", spec=spec),
        Stage(name="load", group="drivers", kind="finish", scope="trial", measured=True, spec=spec),
    )
    groups = ("servers", "loaders", "drivers")
    made = msgspec.structs.replace(plan(), stages=stages, tuning=dict.fromkeys(groups, TUNING))
    chosen = wanted(made, inventory(servers=("s",), loaders=("l",), drivers=("d", "s")))
    assert {host: one.roles for host, one in chosen.items()} == {
        "s": ("dbms", "loader"),
        "l": (),
        "d": ("loader",),
    }


@pytest.mark.parametrize("other", [None, msgspec.structs.replace(TUNING, values={})])
def test_a_host_in_two_groups_has_one_tuning(other: GroupPlan | None) -> None:
    tuning = {"dbms": TUNING} | ({} if other is None else {"loader": other})
    made = msgspec.structs.replace(plan(), tuning=tuning)
    with pytest.raises(UnfitError, match="db is in the groups dbms and loader, which are tuned in diff"):
        wanted(made, inventory(dbms=("db",), loader=("other", "db")))


def outcome(name: str, outcome: str) -> KnobOutcome:
    return KnobOutcome(knob=name, value="1", outcome=outcome, why="", counts={}, was={})  # type: ignore[arg-type]


def test_hosts_with_the_same_counts_share_a_line() -> None:
    one = HostTuning(profile="p", shared=False, undo="", knobs=(outcome("a", "applied"),))
    two = HostTuning(profile="p", shared=False, undo="", knobs=(outcome("a", "blocked"),))
    lines = list(told({"h1": one, "h2": two, "h3": one}))
    assert lines == ["tuned h1, h3: 1 applied", "tuned h2: 1 blocked"]


def test_what_was_not_given_back_is_a_warning_each() -> None:
    failed = {"path": "/a", "error": "EIO"}
    reply = {"restored": 2, "failed": [failed], "gone": [{"path": "/b"}], "problems": ["the journal is torn"]}
    assert list(given_back("h", reply)) == [
        (False, "h: 2 places restored"),
        (True, "h: failed: /a: EIO"),
        (True, "h: gone: /b"),
        (True, "h: the journal is torn"),
    ]


def drifting(agent: FakeAgent, op: str, number: int) -> None:
    """Let somebody change a knob just before the call of that number of an operation."""

    def change(args: dict[str, Any]) -> dict[str, Any]:
        agent.knobs["swappiness"] = "33"
        reply: dict[str, Any] = getattr(agent, f"_op_{op}")(args)
        return reply

    agent.script(op, *[{}] * (number - 1), change)


def test_a_knob_that_drifts_in_a_trial_spoils_that_trial_alone(world: World) -> None:
    world.prepare = lambda agent: drifting(agent, "unwatch", 2)
    world.execute()
    trials = world.store.trials()
    assert [t.ordinal for t in trials if t.validity == "invalid"] == [2]
    assert [t.block for t in trials] == [1, 1, 2, 2, 3, 3]  # with a make-up block
    (finding,) = (f for f in trials[1].findings if f.gate == "knobs")
    assert (finding.value, finding.limit) == (1, 0)
    assert "swappiness (/proc/sys/vm/swappiness: set to 1, found 33)" in finding.reason
    kept = json.loads((world.store.trial_folder(2) / "raw/localhost/knobs.json").read_text())
    assert (kept["expected"], kept["drifts"], kept["unmended"]) == (2, 1, 0)
    assert "raw/localhost/knobs.json" in trials[1].files
    assert "trials/0002/raw/localhost/knobs.json" in (world.store.path / "MANIFEST.sha256").read_text()
    assert world.agents[0].knobs["swappiness"] == "60"


def test_a_knob_that_drifts_between_trials_is_set_again_and_spoils_none(world: World) -> None:
    world.prepare = lambda agent: drifting(agent, "drift", 3)
    world.execute()
    assert {trial.validity for trial in world.store.trials()} == {"ok"}
    told = "changed before trial 2, and set again: swappiness (/proc/sys/vm/swappiness: set to 1, found 33)"
    assert f"localhost: {told}" in texts(world, "warning")
    assert f"localhost: {told}" in world.store.summary().notes
    entries = world.store.journal().entries()
    starts = [e.seq for e in entries if (e.act, e.phase) == ("service.start", "meant")]
    notes = [e for e in entries if e.act == "knobs.drift"]
    assert starts[0] < notes[0].seq < starts[1]  # known before the server of its trial starts
    assert [(e.data["host"], e.data["ordinal"], e.data["drifts"]) for e in notes] == [("localhost", 2, 1)]


def test_each_trial_looks_twice_and_asks_for_it_with_what_it_asks_anyway(world: World) -> None:
    world.execute()
    (agent,) = world.agents
    looks = [args for op, args in agent.calls if op == "drift"]
    assert looks == [{"mend": True}] * 8
    ops = world.ops()
    first = ops.index("drift")
    assert ops[first + 1 : first + 3] == ["remove", "reset"]  # nobody waits for it before the server starts
    after = ops.index("drift", first + 1)
    assert (ops[after - 1], ops[after + 1]) == ("unwatch", "read")  # one request
    judged = [f for t in world.store.trials() for f in t.findings if f.gate == "knobs"]
    assert [(f.validity, f.value) for f in judged] == [("ok", 0)] * 4


def test_a_host_that_somebody_restored_meanwhile_is_not_taken_for_quiet(world: World) -> None:
    gone = {"places": 0, "drifts": 0, "drifted": [], "problems": []}
    world.prepare = lambda agent: agent.script("drift", {}, gone)
    world.execute()
    first = world.store.trials()[0]
    (finding,) = (f for f in first.findings if f.gate == "knobs")
    assert (finding.validity, finding.value) == ("invalid", 2)
    assert "somebody restored this host meanwhile" in finding.reason
