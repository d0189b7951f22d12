"""The load on several hosts: one instant on one timeline, late hosts, failing ones, a DBMS elsewhere."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from benchctl import gates
from benchctl.benchmark.bench import Bench, read_descriptors
from benchctl.benchmark.cancel import Cancel
from benchctl.benchmark.executor import run_trials
from benchctl.benchmark.fleet import Fleet
from benchctl.benchmark.images import build_images
from benchctl.benchmark.together import TELLING
from benchctl.errors import AgentError, ConnectionLostError, InterruptedRunError, LateError
from benchctl.journal import Journal
from benchctl.model.event import Message, TrialFailed
from benchctl.model.host import Host, Inventory
from benchctl.results.store import RunStore
from benchctl.testing.agent import FakeAgent
from tests.builders import plan
from tests.unit.test_benchmark_executor import DESCRIPTOR

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.model.event import Event
    from benchctl.model.measurement import Trial

NOW, DAY = 5_000.0, 1_700_000_000.0
OFFSETS = {"db": 100.0, "l1": -2_000.0, "l2": 7_000.5}  # of CLOCK_MONOTONIC
DAYS = {"db": 0.0, "l1": 0.25, "l2": -3_600.0}  # of CLOCK_REALTIME: the last one is an hour wrong


class Rig:
    """One DBMS host and two loader hosts, each with clocks of its own."""

    def __init__(self, folder: Path) -> None:
        self.events: list[Event] = []
        self.cancel = Cancel()
        the_plan = plan(blocks=1)
        self.store = RunStore.create(folder / "run", experiment_text="", plan=the_plan)
        self.agents = {name: self._agent(folder / name, name) for name in OFFSETS}
        fleet = Fleet(self.agents)
        hosts = {
            name: Host(name=name, transport="ssh", options={"address": f"{name}.example"}) for name in OFFSETS
        }
        paths = {name: {"command": agent.add_descriptor("command")} for name, agent in self.agents.items()}
        paths["db"]["postgresql-1"] = self.agents["db"].add_descriptor("postgresql-1")
        with open(paths["db"]["postgresql-1"], "w", encoding="utf-8") as file:  # noqa: PTH123 - a string
            json.dump(DESCRIPTOR, file)
        bench = Bench(
            plan=the_plan,
            inventory=Inventory(groups={"dbms": (hosts["db"],), "loader": (hosts["l1"], hosts["l2"])}),
            fleet=fleet,
            descriptors=read_descriptors(fleet, paths),
            images={},
            sink=self.store,
            journal=Journal(self.store.path / "journal.jsonl"),
            listener=self.events.append,
            cancel=self.cancel,
            context=gates.Context(shared_host=False, grade="D"),
            clock=lambda: DAY,
            timer=lambda: NOW,
        )
        self.bench = replace(bench, images=build_images(bench))
        for agent in self.agents.values():
            agent.calls.clear()

    def _agent(self, folder: Path, name: str) -> FakeAgent:
        agent = FakeAgent(
            folder,
            host=name,
            clock=lambda: DAY + DAYS[name],
            monotonic=lambda: NOW + OFFSETS[name],
        )
        agent.offset, agent.uncertainty = OFFSETS[name], 0.0001
        agent.outputs["stdout"] = b'{"throughput": 100.0}\n'
        return agent

    def run(self) -> Trial | None:
        """The first trial, when it was finished."""
        run_trials(self.bench.plan.trials[:1], self.bench)
        return next(iter(self.store.trials()), None)

    def args(self, host: str, op: str) -> list[dict[str, Any]]:
        return [args for name, args in self.agents[host].calls if name == op]

    def failure(self) -> str:
        (failed,) = [event.reason for event in self.events if isinstance(event, TrialFailed)]
        return failed


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_every_load_is_told_the_same_instant_in_its_own_host_s_clock(rig: Rig) -> None:
    trial = rig.run()
    assert trial is not None
    lead = 2 * 0.001 + 0.001 + 3 * TELLING
    assert {h: rig.args(h, "go")[0]["at"] for h in ("l1", "l2")} == {
        h: pytest.approx(NOW + lead + OFFSETS[h]) for h in ("l1", "l2")
    }
    assert rig.args("db", "watch")[0]["start"] == pytest.approx(NOW + lead + OFFSETS["db"])
    for load in ("l1", "l2"):  # its samples begin with it, whenever that is
        (watch,) = rig.args(load, "watch")
        assert (watch["task"], "start" in watch) == (rig.args(load, "launch")[0]["task"], False)
    assert trial.start is not None
    assert trial.start.at == pytest.approx(DAY + lead)
    assert trial.start.spread == pytest.approx(0, abs=1e-9)
    assert trial.start.uncertainty == pytest.approx(0.0002)


def test_windows_are_in_the_hosts_own_clocks_and_the_trial_s_in_the_controller_s(rig: Rig) -> None:
    trial = rig.run()
    assert trial is not None
    assert trial.host == "db"
    assert trial.window.start == pytest.approx(DAY + 0.003 + 3 * TELLING, abs=1e-5)
    for load in trial.loads:
        assert load.window.start == pytest.approx(DAY + DAYS[load.host] + 0.003 + 3 * TELLING, abs=1e-5)


def test_each_host_has_its_raw_files_and_its_findings(rig: Rig) -> None:
    rig.agents["db"].log = b"LOG: checkpoint\n"
    trial = rig.run()
    assert trial is not None
    assert set(trial.files) == {
        "raw/db/host.samples",
        "raw/db/server.log",
        *(f"raw/{host}/{file}" for host in ("l1", "l2") for file in ("host.samples", "stderr", "stdout")),
    }
    steal = {finding.host for finding in trial.findings if finding.gate == "steal"}
    assert steal == {"db", "l1", "l2"}
    assert {f.host for f in trial.findings if f.gate == "start_skew"} == {""}
    assert {f.host for f in trial.findings if f.gate == "settings"} == {"db"}


def test_loads_elsewhere_reach_the_dbms_by_its_address_and_have_seeds_of_their_own(rig: Rig) -> None:
    rig.run()
    environments = [rig.args(host, "launch")[0]["env"] for host in ("l1", "l2")]
    assert [env["BENCHCTL_HOST"] for env in environments] == ["db.example"] * 2
    assert all("BENCHCTL_SOCKET" not in env for env in environments)
    assert len({env["BENCHCTL_SEED"] for env in environments}) == 2
    assert [rig.args(host, "launch")[0]["service"] for host in ("l1", "l2")] == [None, None]
    assert rig.args("db", "watch")[0]["service"] == "postgresql-1"
    assert rig.args("l1", "watch")[0]["service"] is None


def test_results_are_merged(rig: Rig) -> None:
    trial = rig.run()
    assert trial is not None
    assert [load.result.metrics["throughput"].value for load in trial.loads] == [100.0, 100.0]
    assert trial.load.cpu_user == pytest.approx(0.02)


def late_go(rig: Rig, host: str, times: int) -> None:
    rig.agents[host].script("go", *[LateError(f"{host}: told too late")] * times)


def test_a_late_host_repeats_the_load_with_more_patience(rig: Rig) -> None:
    late_go(rig, "l2", 2)
    trial = rig.run()
    assert trial is not None
    leads = [args["at"] - NOW - OFFSETS["l1"] for args in rig.args("l1", "go")]
    first = 0.003 + 3 * TELLING
    assert leads == [pytest.approx(first), pytest.approx(4 * first), pytest.approx(16 * first)]
    tasks = [args["task"] for args in rig.args("l1", "go")]
    assert len(set(tasks)) == 3
    assert [args["task"] for args in rig.args("l1", "cancel")] == tasks[:2]
    told = [event.text for event in rig.events if isinstance(event, Message) and "too late" in event.text]
    assert len(told) == 2
    assert "l2" in told[0]


def test_a_host_that_is_always_late_fails_the_trial_by_name(rig: Rig) -> None:
    late_go(rig, "l2", 9)
    assert rig.run() is None
    assert "l2: late at the start in each of 5 tries" in rig.failure()
    assert len(rig.args("l1", "go")) == 5


@pytest.mark.parametrize("name", ["../../../../.bashrc", "/etc/passwd", "x/../../y"])
def test_a_host_cannot_name_a_file_outside_of_the_trial(rig: Rig, name: str) -> None:
    rig.agents["l2"].script("unwatch", {"files": [{"path": name, "size": 1}]})
    rig.agents["l2"].script("read", {"read": []})
    assert rig.run() is None
    assert "l2: " in rig.failure()
    assert "no file of the trial's folder" in rig.failure()


@pytest.mark.parametrize("data", ["", "!!"])
def test_what_arrives_damaged_is_fetched(rig: Rig, data: str) -> None:
    rig.agents["l1"].script("read", {"read": [{"path": "stdout", "data": data, "sha256": "0" * 64}]})
    trial = rig.run()
    assert trial is not None
    kept = rig.store.trial_folder(1) / "raw" / "l1" / "stdout"
    assert kept.read_bytes() == b'{"throughput": 100.0}\n'
    assert trial.files["raw/l1/stdout"] == sha256(kept.read_bytes()).hexdigest()


def test_a_load_that_fails_ends_the_others_and_is_named(rig: Rig) -> None:
    rig.agents["l2"].script("await", {"exit": 3})
    assert rig.run() is None
    assert "l2: command ended with exit code 3" in rig.failure()
    assert "l1: command" not in rig.failure()
    assert rig.args("l1", "cancel")
    kept = rig.store.trial_folder(1) / "attempts" / "1"
    assert {path.name for path in kept.iterdir()} == {"db", "l1", "l2"}


def test_a_program_that_cannot_be_launched_leaves_none_held(rig: Rig) -> None:
    rig.agents["l1"].script("launch", AgentError("l1: no such program"))
    assert rig.run() is None
    assert "l1: no such program" in rig.failure()
    assert rig.args("l2", "cancel")
    assert not rig.args("l2", "go")
    assert rig.agents["db"].calls[-1][0] in {"stop", "hello"}


def test_a_dbms_that_dies_under_loads_elsewhere_is_told_with_its_last_words(rig: Rig) -> None:
    rig.agents["db"].log = b"PANIC: out of luck\n"

    def dead(args: dict[str, Any]) -> dict[str, Any]:
        path = rig.store.path.parent / "db" / "cache" / "runs" / "run" / "trials" / "0001" / "server.log"
        path.write_bytes(b"PANIC: out of luck\n")
        return {"exit": -9, "how": "none", "seconds": 0.0, "running_before": False}

    rig.agents["l1"].script("await", {"exit": 2})
    rig.agents["db"].script("stop", dead)
    assert rig.run() is None
    assert "db: postgresql-1 was killed by SIGKILL in mid-trial" in rig.failure()
    assert "PANIC: out of luck" in rig.failure()


def test_a_host_lost_for_good_ends_the_run_and_the_other_loads(rig: Rig) -> None:
    rig.agents["l2"].script("await", ConnectionLostError("l2: gone for 120 s"))
    with pytest.raises(ConnectionLostError, match="l2: gone"):
        rig.run()
    assert rig.args("l1", "cancel")
    assert rig.args("db", "stop")


def test_a_stop_in_mid_load_ends_all_loads(rig: Rig) -> None:
    def interrupted(_: dict[str, Any]) -> dict[str, Any]:
        rig.cancel.request(15)
        return {"exit": -15, "cancelled": True, "timed_out": False, "service_died": False, "late": False}

    rig.agents["l2"].script("await", interrupted)
    with pytest.raises(InterruptedRunError):
        rig.run()
    assert rig.args("db", "stop")
    assert rig.store.trials() == ()


def test_every_tuned_host_is_looked_at_around_the_trial_whatever_runs_there(rig: Rig) -> None:
    for host in ("db", "l2"):
        rig.agents[host].call("tune", timeout=1, values={"swappiness": "1"})
    rig.bench = replace(rig.bench, tuned={"db": 1, "l2": 1})

    def drift(args: dict[str, Any]) -> dict[str, Any]:
        rig.agents["db"].knobs["swappiness"] = "33"
        reply: dict[str, Any] = rig.agents["db"]._op_unwatch(args)  # noqa: SLF001 - the usual reply
        return reply

    rig.agents["db"].script("unwatch", drift)
    trial = rig.run()
    assert trial is not None
    assert {host: len(rig.args(host, "drift")) for host in OFFSETS} == {"db": 2, "l1": 0, "l2": 2}
    found = {f.host: (f.validity, f.value) for f in trial.findings if f.gate == "knobs"}
    assert found == {"db": ("invalid", 1), "l2": ("ok", 0)}
    assert {name for name in trial.files if name.endswith("knobs.json")} == {
        "raw/db/knobs.json",
        "raw/l2/knobs.json",
    }
    assert rig.agents["db"].knobs["swappiness"] == "1"
