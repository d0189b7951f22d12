"""Stages on fake agents: what runs when and where, what is stopped, and what a failure leaves."""

from __future__ import annotations

import json
import signal
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from benchctl import gates
from benchctl.benchmark.bench import Bench, Descriptor
from benchctl.benchmark.cancel import Cancel
from benchctl.benchmark.executor import run_trials
from benchctl.benchmark.fleet import Fleet
from benchctl.benchmark.stages import staged
from benchctl.errors import ConnectionLostError, InterruptedRunError, ServiceError, StepError, TaskError
from benchctl.journal import Journal
from benchctl.model.event import Message, TrialFailed
from benchctl.model.host import Host, Inventory
from benchctl.plan import make
from benchctl.results.store import RunStore
from benchctl.spec.load import parse
from benchctl.testing.agent import FakeAgent

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.model.event import Event
    from benchctl.model.measurement import Trial

EXPERIMENT = """
name: case
hosts:
  provider: inventory
  path: .
  groups: {db: {count: 1}, app: {count: 2}}
factors: {mode: [x, y]}
design: {blocks: 2, order: fixed}
metrics: [{name: throughput, better: higher}]
stages:
  - name: build
    group: app
    files: [tool.sh]
    tasks: [{run: "make {{ files }} {{ work }}", retries: 2, backoff: 1ms}]
  - name: store
    group: db
    tasks: [{name: redis, run: redis-server, kind: service, ready: {port: 7000}, stop: redis-cli shutdown}]
  - name: gateway
    group: db
    tasks:
      - {run: "prepare {{ levels.mode }}"}
      - {name: gw, run: "gateway {{ host.address }}", kind: service, env: {MODE: "{{ levels.mode }}"}}
  - {name: ping, group: app, scope: trial, start: together, tasks: [{run: "ping {{ groups.db[0].address }}"}]}
  - name: watch
    group: app
    tasks: [{name: w, run: "watch {{ trial.ordinal }}", kind: service, stop_signal: SIGINT}]
  - name: load
    group: app
    start: together
    measure: {warmup: 1s, duration: 2s}
    tasks:
      - run: "load --seed {{ trial.seed }} --for {{ duration }}"
        parse: {role: json}
        units: {throughput: 1/s}
  - {name: after, group: db, tasks: [{shell: true, run: "a | b"}]}
pipeline: [[build, store], [gateway], [ping, watch], [load], [after]]
"""

TIMES = {"start": 0.0, "end": 1.0}
STORE, GATEWAY, WATCH = "store.redis", "gateway.gw", "watch.w"


class Rig:
    """Three fake hosts; `log` is what was asked of them, in order: (host, op, what)."""

    def __init__(self, folder: Path, text: str = EXPERIMENT) -> None:
        self.now = 1_700_000_000.0
        self.folder = folder
        (folder / "tool.sh").write_text("#!/bin/sh\n")
        (folder / "tool.sh").chmod(0o755)
        self.plan = make(parse(text, folder / "case.yml"))
        self.agents = {name: self._agent(name) for name in ("d1", "a1", "a2")}
        self.events: list[Event] = []
        self.cancel = Cancel()
        self.store = RunStore.create(folder / "run", experiment_text="", plan=self.plan)
        self.journal = Journal(self.store.path / "journal.jsonl")
        hosts = {
            name: Host(name=name, transport="ssh", options={"address": f"192.0.2.{number}"})
            for number, name in enumerate(self.agents, start=1)
        }
        self.bench = Bench(
            plan=self.plan,
            inventory=Inventory(groups={"db": (hosts["d1"],), "app": (hosts["a1"], hosts["a2"])}),
            fleet=Fleet(self.agents),
            descriptors={},
            images={},
            sink=self.store,
            journal=self.journal,
            listener=self.events.append,
            cancel=self.cancel,
            context=gates.Context(shared_host=True, grade="D"),
            clock=lambda: self.now,
            timer=lambda: self.now,
        )

    def _agent(self, name: str) -> FakeAgent:
        folder = self.folder / name
        folder.mkdir()
        agent = FakeAgent(folder, host=name, clock=lambda: self.now, monotonic=lambda: self.now)
        agent.outputs["stdout"] = b'{"throughput": 100.0}\n'
        return agent

    def run(self, trials: int | None = None) -> None:
        with staged(self.bench, lambda host: self.store.host_folder(host) / "logs") as courses:
            run_trials(self.plan.trials[:trials], self.bench, courses)

    def said(self, host: str, *ops: str) -> list[str]:
        """What these operations were about on a host, in order."""
        return [f"{op} {_about(op, args)}" for op, args in self.agents[host].calls if op in ops]

    def launched(self, host: str) -> list[str]:
        return [" ".join(args["argv"]) for op, args in self.agents[host].calls if op == "launch"]

    def failures(self) -> list[str]:
        return [event.reason for event in self.events if isinstance(event, TrialFailed)]

    def running(self) -> list[str]:
        return [name for agent in self.agents.values() for name in agent._running]  # noqa: SLF001 - its own fake

    def trials(self) -> tuple[Trial, ...]:
        return tuple(self.store.trials())


def _about(op: str, args: dict[str, Any]) -> str:
    if op in {"start", "stop", "ready"}:
        return str(args["descriptor"]["instance"])
    return str(args.get("task", "")).rpartition(".")[0]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_each_stage_runs_as_often_as_it_must(rig: Rig) -> None:
    rig.run()
    assert [trial.ordinal for trial in rig.trials()] == [1, 2, 3, 4]
    assert rig.said("d1", "start").count(f"start {STORE}") == 1
    assert rig.said("d1", "start").count(f"start {GATEWAY}") == 4  # x, y, x, y
    assert rig.said("a1", "start") == [f"start {WATCH}"] * 4
    assert sum(line.startswith("make ") for line in rig.launched("a1")) == 1
    assert sum(line.startswith("ping ") for line in rig.launched("a1")) == 4
    assert rig.running() == []


def test_services_are_stopped_in_reverse_order(rig: Rig) -> None:
    rig.run(trials=2)
    assert rig.said("d1", "start", "stop") == [
        f"start {STORE}",
        f"start {GATEWAY}",
        f"stop {GATEWAY}",  # the level changed
        f"start {GATEWAY}",
        f"stop {GATEWAY}",
        f"stop {STORE}",
    ]
    assert rig.said("a2", "start", "stop") == [f"start {WATCH}", f"stop {WATCH}"] * 2


def test_services_of_one_stage_are_stopped_in_reverse_order(tmp_path: Path) -> None:
    two = "tasks: [{name: one, run: a, kind: service}, {name: two, run: b, kind: service}]}"
    stage = f"  - {{name: pair, group: db, scope: trial, {two}\n"
    text = EXPERIMENT.replace("  - name: load\n", f"{stage}  - name: load\n").replace(
        "watch], [load]", "watch, pair], [load]"
    )
    rig = Rig(tmp_path, text)
    rig.run(trials=1)
    pair = [line for line in rig.said("d1", "start", "stop") if "pair" in line]
    assert pair == ["start pair.one", "start pair.two", "stop pair.two", "stop pair.one"]


def test_words_are_rendered_for_each_host(rig: Rig) -> None:
    rig.run(trials=1)
    work = rig.agents["a1"].hello["work"]
    seed = rig.plan.trials[0].seed
    assert rig.launched("a1") == [
        f"make {work}/files/build {work}",
        "ping 192.0.2.1",
        f"load --seed {seed} --for 2",
    ]
    assert rig.launched("d1") == ["prepare x", "/bin/sh -c a | b"]
    (descriptor,) = [
        args["descriptor"]
        for op, args in rig.agents["d1"].calls
        if op == "start" and args["descriptor"]["instance"] == GATEWAY
    ]
    assert descriptor["start"]["argv"] == ["gateway", "192.0.2.1"]
    assert descriptor["env"]["MODE"] == "x"


def test_programs_of_a_role_are_where_its_descriptor_says(tmp_path: Path) -> None:
    text = EXPERIMENT.replace(
        "stages:\n", "stages:\n  - {name: tools, group: app, install: {role: redis_benchmark}}\n", 1
    )
    text = text.replace("load --seed", "{{ roles.redis_benchmark.bin }}/load --seed")
    rig = Rig(tmp_path, text.replace("pipeline: [", "pipeline: [[tools], "))
    content = {"role": "redis_benchmark", "version": "7.0.15", "binaries": {"redis-benchmark": "/opt/bin/rb"}}
    described = {"redis_benchmark": Descriptor("/c/descriptor.json", content)}
    rig.bench = replace(rig.bench, descriptors={"a1": described, "a2": described})
    rig.run(trials=1)
    assert rig.launched("a1")[-1].startswith("/opt/bin/load --seed")


def test_descriptors_say_how_a_service_is_ready_and_how_it_stops(rig: Rig) -> None:
    rig.run(trials=1)
    found = {
        args["descriptor"]["instance"]: args["descriptor"]
        for agent in rig.agents.values()
        for op, args in agent.calls
        if op == "start"
    }
    assert found[STORE]["ready"] == {"port": 7000, "interval": 0.1, "timeout": 60.0}
    assert found[STORE]["stop"] == {"argv": ["redis-cli", "shutdown"], "timeout": 30.0, "then": "SIGTERM"}
    assert found[WATCH]["stop"] == {"signal": "SIGINT", "timeout": 30.0}
    assert "ready" not in found[GATEWAY]


def test_files_are_there_before_the_first_use_with_their_mode(rig: Rig) -> None:
    rig.run(trials=2)
    for host in ("a1", "a2"):
        copy = rig.folder / host / "cache" / "runs" / "run" / "files" / "build" / "tool.sh"
        assert copy.read_text() == "#!/bin/sh\n"
        assert copy.stat().st_mode & 0o111


def test_a_file_that_changed_since_the_plan_is_refused(rig: Rig) -> None:
    (rig.folder / "tool.sh").write_text("changed")
    with pytest.raises(StepError, match=r"tool\.sh has changed since this run began"):
        rig.run()


def test_the_measured_stage_gives_a_load_for_each_host(rig: Rig) -> None:
    rig.run(trials=1)
    (trial,) = rig.trials()
    assert [load.host for load in trial.loads] == ["a1", "a2"]
    assert [load.result.metrics["throughput"].value for load in trial.loads] == [100.0, 100.0]
    assert trial.result.metrics["throughput"].value == 200.0
    assert trial.host == "d1"
    assert trial.start is not None
    held = [args for op, args in rig.agents["a2"].calls if op == "launch" and args.get("hold")]
    assert [args["argv"][0] for args in held] == ["ping", "load"]
    seeds = [
        args["env"]["BENCHCTL_SEED"]
        for agent in (rig.agents["a1"], rig.agents["a2"])
        for op, args in agent.calls
        if op == "launch" and args["argv"][0] == "load"
    ]
    assert int(seeds[1]) == int(seeds[0]) + 1


def test_output_of_trial_stages_is_raw_and_of_wider_ones_lies_with_the_host(rig: Rig) -> None:
    rig.run(trials=1)
    (trial,) = rig.trials()
    assert "raw/a1/stages/ping/1.stdout" in trial.files
    assert "raw/d1/stages/after/1.stdout" in trial.files
    folder = rig.store.trial_folder(1)
    assert (folder / "raw" / "a2" / "stages" / "ping" / "1.stdout").exists()
    assert (rig.store.host_folder("a1") / "logs" / "build" / "1.stdout").exists()
    assert rig.store.trials()


def test_a_failing_task_fails_its_stage_and_ends_the_others(rig: Rig) -> None:
    rig.agents["a2"].outputs["stderr"] = b"no rule\nto make it\n"
    rig.agents["a2"].script("await", {"exit": 2}, {"exit": 2}, {"exit": 2})
    rig.run(trials=1)
    (reason,) = rig.failures()
    assert "a2: stage build, task 1 ended with exit code 2" in reason
    assert "    to make it\n" in reason
    assert "tried 3 times" in reason
    assert rig.running() == []
    assert "start " + GATEWAY not in rig.said("d1", "start")


def test_the_first_failure_ends_what_the_others_wait_for(rig: Rig) -> None:
    ended = threading.Event()

    def endless(_: dict[str, Any]) -> dict[str, Any]:
        was_cancelled = ended.wait(30)
        return {"exit": -15, "cancelled": was_cancelled, "timed_out": not was_cancelled, "files": [], **TIMES}

    def cancel(_: dict[str, Any]) -> dict[str, Any]:
        ended.set()
        return {}

    rig.agents["a1"].script("await", endless)
    rig.agents["a1"].script("cancel", cancel)
    rig.agents["a2"].script("await", {"exit": 2}, {"exit": 2}, {"exit": 2})
    rig.run(trials=1)
    assert ended.is_set()
    (reason,) = rig.failures()
    assert "a2: stage build" in reason
    assert "a1" not in reason


def test_a_task_that_fails_may_be_tried_again(rig: Rig) -> None:
    rig.agents["a1"].script("await", {"exit": 1}, {"exit": -9})
    rig.run(trials=1)
    assert len(rig.trials()) == 1
    ids = [
        args["task"] for op, args in rig.agents["a1"].calls if op == "launch" and args["argv"][0] == "make"
    ]
    assert len(ids) == len(set(ids)) == 3


def test_a_timed_out_task_says_so(rig: Rig) -> None:
    rig.agents["d1"].script("await", {"exit": -15, "timed_out": True})
    rig.run(trials=1)
    assert "d1: stage gateway, task 1 was stopped at its limit after 0.0 s" in rig.failures()[0]


def test_one_host_of_a_stage_that_starts_together_fails_it(rig: Rig) -> None:
    rig.agents["a1"].script("await", {}, {"exit": 7})
    rig.run(trials=1)
    assert "a1: stage ping, task 1 ended with exit code 7" in rig.failures()[0]
    assert [op for op, args in rig.agents["a2"].calls if op == "cancel"]
    assert rig.running() == []


def test_a_service_that_does_not_come_up_fails_its_row_and_the_rows_before_stay_for_the_next(
    rig: Rig,
) -> None:
    rig.agents["d1"].script("start", {}, ServiceError("d1: gateway.gw ended with 3 at its start"))
    rig.run(trials=2)
    assert [trial.ordinal for trial in rig.trials()] == [2]
    assert "stage gateway, task gw: d1: gateway.gw ended with 3" in rig.failures()[0]
    assert rig.said("d1", "start").count(f"start {STORE}") == 1
    assert rig.running() == []


def test_a_failed_load_is_told_with_its_output_and_leaves_nothing_up(rig: Rig) -> None:
    rig.agents["a1"].script("await", {}, {}, {"exit": 3})
    rig.run(trials=1)
    assert "a1: " in rig.failures()[0]
    assert "exit code 3" in rig.failures()[0]
    assert rig.running() == []
    assert (rig.store.trial_folder(1) / "attempts" / "1" / "a1" / "stdout").exists()
    assert "a | b" not in " ".join(rig.launched("d1"))


def test_a_service_that_dies_in_mid_trial_fails_it_with_its_last_words(tmp_path: Path) -> None:
    rig = Rig(tmp_path, EXPERIMENT.replace("{{ levels.mode }}", "any"))
    rig.agents["d1"].log = b"ready\nout of memory\n"

    def die(_: dict[str, Any]) -> dict[str, Any]:
        rig.agents["d1"]._running.pop(GATEWAY)  # noqa: SLF001 - its own fake
        return {"samples": 0, "files": []}

    rig.agents["a2"].script("unwatch", die)
    rig.run(trials=2)
    (reason,) = rig.failures()
    assert "d1: gateway.gw ended by itself in mid-trial" in reason
    assert [trial.ordinal for trial in rig.trials()] == [2]
    assert rig.said("d1", "start") == [f"start {STORE}", f"start {GATEWAY}", f"start {GATEWAY}"]
    assert rig.running() == []


def test_a_service_that_dies_between_trials_is_started_again(tmp_path: Path) -> None:
    rig = Rig(tmp_path, EXPERIMENT.replace("mode: [x, y]", "mode: [x]"))

    def trial_ended(event: Event) -> None:
        rig.events.append(event)
        if type(event).__name__ == "TrialEnded":
            rig.agents["d1"]._running.pop(STORE, None)  # noqa: SLF001

    object.__setattr__(rig.bench, "listener", trial_ended)
    rig.run()
    assert len(rig.trials()) == 2
    assert rig.said("d1", "start") == [f"start {STORE}", f"start {GATEWAY}"] * 2
    assert any(
        "store.redis on d1 is not ready any more" in e.text for e in rig.events if isinstance(e, Message)
    )
    assert sum(line.startswith("make ") for line in rig.launched("a1")) == 1  # a row mate need not run again


def test_a_stop_that_is_asked_for_ends_all_and_stops_the_services(rig: Rig) -> None:
    def stopped(_: dict[str, Any]) -> dict[str, Any]:
        rig.cancel.request(signal.SIGINT)
        return {"exit": -15, "cancelled": True, "timed_out": False, "files": []}

    rig.agents["d1"].script("await", stopped)
    with pytest.raises(InterruptedRunError):
        rig.run()
    assert rig.running() == []
    assert rig.trials() == ()


def test_a_task_that_somebody_else_ended_fails_the_stage(rig: Rig) -> None:
    rig.agents["d1"].script("await", {"exit": -15, "cancelled": True})
    rig.run(trials=1)
    assert "stage gateway: a task was ended by somebody else" in rig.failures()[0]


def test_a_lost_host_ends_the_run_and_the_others_are_cleaned(rig: Rig) -> None:
    rig.agents["a1"].script("start", ConnectionLostError("a1: gone"))
    with pytest.raises(ConnectionLostError, match="a1: gone"):
        rig.run()
    assert f"stop {STORE}" in rig.said("d1", "stop")
    assert f"stop {GATEWAY}" in rig.said("d1", "stop")


def test_a_stop_that_fails_keeps_no_other_service_up(rig: Rig) -> None:
    rig.agents["a1"].script("stop", ServiceError("a1: it does not stop"))
    rig.run(trials=1)
    assert "it does not stop" in rig.failures()[0]
    assert rig.running() in ([], [WATCH])
    assert f"stop {WATCH}" in rig.said("a2", "stop")


def test_starts_and_stops_stand_in_the_journal(rig: Rig) -> None:
    rig.run(trials=1)
    acts = [
        (entry.act, entry.data["instance"], entry.data["host"])
        for entry in rig.journal.entries()
        if entry.phase == "meant" and entry.act.startswith("service.")
    ]
    assert acts[:2] == [("service.start", STORE, "d1"), ("service.start", GATEWAY, "d1")]
    assert acts[-1] == ("service.stop", STORE, "d1")
    assert len(acts) == 8


def test_a_template_that_fails_on_a_host_is_told(tmp_path: Path) -> None:
    rig = Rig(
        tmp_path, EXPERIMENT.replace("prepare {{ levels.mode }}", "prepare {{ levels.mode | int / 0 }}")
    )
    rig.run(trials=1)
    assert "d1: stage gateway, task 1: " in rig.failures()[0]
    assert "division by zero" in rig.failures()[0]


def test_limits_trial_does_not_count_what_is_for_several_trials(rig: Rig) -> None:
    def slow(_: dict[str, Any]) -> dict[str, Any]:
        rig.now += 10_000
        return {"exit": 0, "timed_out": False, "cancelled": False, "files": []}

    rig.agents["d1"].script("await", slow)
    rig.run(trials=1)
    assert len(rig.trials()) == 1


def test_limits_trial_bounds_what_is_for_one_trial(tmp_path: Path) -> None:
    rig = Rig(tmp_path, EXPERIMENT.replace("name: case", "name: case\nlimits: {trial: 90s}"))

    def slow(args: dict[str, Any]) -> dict[str, Any]:
        rig.now += 60
        return rig.agents["a1"]._op_start(args)  # noqa: SLF001 - its own fake

    rig.agents["a1"].script("start", slow)  # of the row beside the ping, in the first trial
    rig.run(trials=1)
    assert rig.failures() == []
    limits = {
        args["argv"][0]: args["limit"]
        for agent in rig.agents.values()
        for op, args in agent.calls
        if op == "launch"
    }
    assert limits["make"] == limits["prepare"] == 600
    assert limits["load"] == limits["/bin/sh"] == 30


def test_the_error_of_a_task_is_a_task_error(tmp_path: Path) -> None:
    rig = Rig(tmp_path, EXPERIMENT.replace("blocks: 2", "blocks: 2, on_failure: stop"))
    rig.agents["d1"].script("await", {"exit": 1})
    with pytest.raises(TaskError):
        rig.run()
    assert json.loads((rig.store.path / "plan.json").read_text())["stages"][0]["spec"]["name"] == "build"
