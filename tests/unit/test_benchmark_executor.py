from __future__ import annotations

import json
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from benchctl import gates
from benchctl.benchmark.bench import Bench, read_descriptors
from benchctl.benchmark.cancel import Cancel
from benchctl.benchmark.executor import run_trials
from benchctl.benchmark.fleet import Fleet
from benchctl.benchmark.images import build_images
from benchctl.errors import ConnectionLostError, InterruptedRunError, ParseError, ServiceError, StepError
from benchctl.journal import Journal
from benchctl.model.event import TrialEnded, TrialFailed
from benchctl.model.experiment import Limits
from benchctl.model.host import Host, Inventory
from benchctl.results.store import RunStore
from benchctl.testing.agent import FakeAgent
from tests.builders import plan

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.model.event import Event
    from benchctl.model.experiment import Value
    from benchctl.model.plan import Plan

DESCRIPTOR = {
    "schema": 1,
    "role": "postgresql",
    "instance": "postgresql-1",
    "kind": "dbms",
    "init": {"argv": ["initdb"]},
    "settings": {"base": {}},
    "verify": [],
    "target": {"socket": "{runtime}", "port": 54321, "user": "bench", "database": "bench"},
}

IN_UNITS: dict[str, Value] = {"run": "load", "parse": {"json": True}, "units": {"throughput": "1/s"}}


class Rig:
    """A bench on the fake agent; everything that happens is kept."""

    def __init__(self, folder: Path, the_plan: Plan, descriptor: dict[str, Any] = DESCRIPTOR) -> None:
        self.now = 1_700_000_000.0
        self.set_ahead = 0.0  # how far the time of day was set ahead meanwhile
        self.agent = FakeAgent(
            folder, clock=lambda: self.now + self.set_ahead, monotonic=lambda: self.now - 1e9
        )
        self.agent.offset = -1e9
        self.agent.outputs["stdout"] = b'{"throughput": 100.0}\n'
        self.events: list[Event] = []
        self.cancel = Cancel()
        self.store = RunStore.create(folder / "run", experiment_text="", plan=the_plan)
        paths = {
            "postgresql-1": self._write("postgresql-1", descriptor),
            "command": self._write("command", {}),
        }
        fleet = Fleet({"fake": self.agent})
        bench = Bench(
            plan=the_plan,
            inventory=Inventory(
                groups=dict.fromkeys(("dbms", "loader"), (Host(name="fake", transport="pipe"),))
            ),
            fleet=fleet,
            descriptors=read_descriptors(fleet, {"fake": paths}),
            images={},
            sink=self.store,
            journal=Journal(self.store.path / "journal.jsonl"),
            listener=self.events.append,
            cancel=self.cancel,
            context=gates.Context(shared_host=True, grade="D"),
            clock=lambda: self.now + self.set_ahead,
            timer=lambda: self.now,
        )
        self.bench = replace(bench, images=build_images(bench))

    def _write(self, name: str, content: dict[str, Any]) -> str:
        path = self.agent.add_descriptor(name)
        if content:
            with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123 - the fake gives strings
                json.dump(content, file)
        return path

    def run(self) -> None:
        run_trials(self.bench.plan.trials, self.bench)

    def ops(self) -> list[str]:
        return [op for op, _ in self.agent.calls if op != "clock"]


def test_every_trial_runs_in_the_order_of_the_plan_and_is_done(tmp_path: Path) -> None:
    rig = Rig(tmp_path, plan(blocks=3))
    rig.run()
    assert [trial.ordinal for trial in rig.store.trials()] == [1, 2, 3, 4, 5, 6]
    assert [trial.levels["dbms.settings.fsync"] for trial in rig.store.trials()] == ["on", "off"] * 3
    assert [event.trial.ordinal for event in rig.events if isinstance(event, TrialEnded)] == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]


def test_a_trial_clones_starts_asks_loads_asks_again_and_stops(tmp_path: Path) -> None:
    rig = Rig(tmp_path, plan(blocks=1))
    rig.agent.calls.clear()
    run_trials(rig.bench.plan.trials[:1], rig.bench)
    load = ["launch", "watch", "await", "unwatch", "read"]
    phases = ["reset", "start", "inspect", "stats", *load, "stats", "stop", "files"]
    assert rig.ops() == ["remove", *phases, "remove"]
    start = next(args for op, args in rig.agent.calls if op == "start")
    assert start["settings"] == {"fsync": "on"}


def test_an_embedded_engine_has_no_server_to_watch_or_to_stop(tmp_path: Path) -> None:
    target = {"engine": "duckdb", "database": "{work}/data/bench.duckdb"}
    rig = Rig(tmp_path, plan(blocks=1), {**DESCRIPTOR, "embedded": True, "target": target})
    rig.agent.calls.clear()
    run_trials(rig.bench.plan.trials[:1], rig.bench)
    load = ["launch", "watch", "await", "unwatch", "read"]
    phases = ["reset", "start", "inspect", "stats", *load, "stats", "files"]  # start writes the settings
    assert rig.ops() == ["remove", *phases, "remove"]
    watched = next(args for op, args in rig.agent.calls if op == "watch")
    assert watched["service"] is None
    work = rig.agent.hello["work"]
    database = rig.bench.target("postgresql-1", "fake")["database"]
    assert database == f"{work}/postgresql-1/data/bench.duckdb"
    journal = (rig.store.path / "journal.jsonl").read_text()
    assert "service.start" not in journal


@pytest.mark.parametrize(("reset", "asked"), [(None, []), ({"argv": ["wipe"]}, ["reset"])])
def test_somebody_elses_server_is_neither_started_nor_stopped(
    tmp_path: Path, reset: dict[str, list[str]] | None, asked: list[str]
) -> None:
    target = {"protocol": "redis", "host": "db.example", "port": 6379}
    rig = Rig(tmp_path, plan(blocks=1), {**DESCRIPTOR, "external": True, "reset": reset, "target": target})
    rig.agent.calls.clear()
    run_trials(rig.bench.plan.trials[:1], rig.bench)
    load = ["launch", "watch", "await", "unwatch", "read"]
    phases = ["start", "inspect", "stats", *load, "stats", "files"]  # start asks whether it is ready
    assert rig.ops() == ["remove", *asked, *phases, "remove"]
    assert rig.bench.target("postgresql-1", "another")["host"] == "db.example"
    (trial,) = rig.store.trials()
    assert trial.server is not None
    assert bool(trial.server.image) is bool(asked)  # without one it is the data of the trial before


def test_a_trial_that_is_done_is_not_repeated(tmp_path: Path) -> None:
    rig = Rig(tmp_path, plan(blocks=2))
    rig.run()
    before = rig.store.trials()
    rig.run()
    assert rig.store.trials() == before
    assert rig.ops().count("launch") == 4


def test_a_failed_trial_is_told_and_the_next_ones_go_on(tmp_path: Path) -> None:
    rig = Rig(tmp_path, plan(blocks=2))
    rig.agent.script("start", {}, ServiceError("it died"))
    rig.run()
    assert [trial.ordinal for trial in rig.store.trials()] == [1, 3, 4]
    (failure,) = [event for event in rig.events if isinstance(event, TrialFailed)]
    assert (failure.ordinal, "it died" in failure.reason) == (2, True)


def test_the_server_is_stopped_even_when_the_load_fails(tmp_path: Path) -> None:
    rig = Rig(tmp_path, plan(blocks=1))
    rig.agent.script("await", {"exit": 3})
    run_trials(rig.bench.plan.trials[:1], rig.bench)
    assert "stop" in rig.ops()
    (failure,) = [event for event in rig.events if isinstance(event, TrialFailed)]
    assert "exit code 3" in failure.reason
    assert '{"throughput": 100.0}' in failure.reason
    assert (rig.store.trial_folder(1) / "attempts" / "1" / "fake" / "stdout").exists()


def test_a_server_that_dies_in_mid_trial_is_told_with_its_last_words(tmp_path: Path) -> None:
    rig = Rig(tmp_path, plan(blocks=1))
    rig.agent.log = b"LOG: ready\nPANIC: out of luck\n"
    rig.agent.script("await", {"service_died": True, "service_exit": -9})
    run_trials(rig.bench.plan.trials[:1], rig.bench)
    (failure,) = [event for event in rig.events if isinstance(event, TrialFailed)]
    assert "postgresql-1 was killed by SIGKILL in mid-trial" in failure.reason
    assert "PANIC: out of luck" in failure.reason
    assert (rig.store.trial_folder(1) / "attempts" / "1" / "fake" / "server.log").exists()


def test_what_an_attempt_that_was_cut_short_left_does_not_get_into_the_next(tmp_path: Path) -> None:
    rig = Rig(tmp_path, plan(blocks=1))
    stale = tmp_path / "cache" / "runs" / "run" / "trials" / "0001" / "tx.99"
    stale.parent.mkdir(parents=True)
    stale.write_text("half a li")
    rig.run()
    assert "raw/fake/tx.99" not in rig.store.trials()[0].files


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"throughput": "1/min", "seconds": "s"}, "throughput in 1/s, and the role declares 1/min"),
        ({"seconds": "s"}, "throughput in 1/s, and the role declares no such metric"),
    ],
)
def test_a_metric_that_is_not_as_the_role_declares_fails_the_trial(
    tmp_path: Path, declared: dict[str, str], told: str
) -> None:
    rig = Rig(tmp_path, plan(blocks=1, options=IN_UNITS, units=declared))
    with pytest.raises(ParseError, match=rf"command: its parser gives {told}\n"):
        rig.run()
    assert [event.ordinal for event in rig.events if isinstance(event, TrialFailed)] == [1, 2]
    kept = rig.store.trial_folder(1) / "attempts" / "1" / "fake" / "stdout"
    assert kept.read_bytes() == rig.agent.outputs["stdout"]


@pytest.mark.parametrize("declared", [{}, {"throughput": "1/s", "seconds": "s", "errors": "1"}])
def test_metrics_as_declared_and_of_a_role_without_any_are_taken(
    tmp_path: Path, declared: dict[str, str]
) -> None:
    rig = Rig(tmp_path, plan(blocks=1, options=IN_UNITS, units=declared))
    rig.run()
    assert [trial.result.metrics["throughput"].value for trial in rig.store.trials()] == [100.0, 100.0]


def test_on_failure_stop_stops(tmp_path: Path) -> None:
    rig = Rig(tmp_path, plan(blocks=2, on_failure="stop"))
    rig.agent.script("start", {}, ServiceError("it died"))
    with pytest.raises(ServiceError, match="it died"):
        rig.run()
    assert [trial.ordinal for trial in rig.store.trials()] == [1]


def test_as_many_failures_in_a_row_as_treatments_end_the_run(tmp_path: Path) -> None:
    rig = Rig(tmp_path, plan(blocks=10))
    rig.agent.script("start", {}, *[ServiceError("it never starts")] * 9)
    with pytest.raises(ServiceError, match="it never starts"):
        rig.run()
    assert rig.ops().count("start") == 3


def test_a_lost_connection_ends_the_run_at_once(tmp_path: Path) -> None:
    rig = Rig(tmp_path, plan(blocks=10))
    rig.agent.script("await", ConnectionLostError("gone"))
    with pytest.raises(ConnectionLostError):
        rig.run()
    assert rig.ops().count("launch") == 1


def test_a_stop_between_trials_keeps_what_is_done(tmp_path: Path) -> None:
    rig = Rig(tmp_path, plan(blocks=2))

    def stopped(_: dict[str, Any]) -> dict[str, Any]:
        rig.cancel.request(signal.SIGTERM)
        return {"exit": 0, "how": "SIGINT", "seconds": 0.0, "running_before": True}

    rig.agent.script("stop", stopped)
    with pytest.raises(InterruptedRunError) as caught:
        rig.run()
    assert caught.value.signal_number == signal.SIGTERM
    assert len(rig.store.trials()) <= 1
    assert rig.ops().count("launch") == 1


def test_a_stop_in_mid_load_stops_the_server_and_gives_the_trial_up(tmp_path: Path) -> None:
    rig = Rig(tmp_path, plan(blocks=2))

    def interrupted(_: dict[str, Any]) -> dict[str, Any]:
        rig.cancel.request(signal.SIGINT)
        return {"exit": -15, "cancelled": True, "timed_out": False, "service_died": False, "late": False}

    rig.agent.script("await", interrupted)
    with pytest.raises(InterruptedRunError):
        rig.run()
    assert rig.store.trials() == ()
    assert rig.ops()[-1] in {"stop", "cancel"}
    assert "stop" in rig.ops()


def test_a_trial_that_takes_longer_than_its_limit_fails_with_the_remedy(tmp_path: Path) -> None:
    rig = Rig(tmp_path, plan(blocks=1, limits=Limits(trial=10.0)))

    def slow(_: dict[str, Any]) -> dict[str, Any]:
        rig.now += 11
        return {"seconds": 11.0, "method": "copy", "why": "", "counted": False}

    rig.agent.script("reset", slow)
    run_trials(rig.bench.plan.trials[:1], rig.bench)
    (failure,) = [event for event in rig.events if isinstance(event, TrialFailed)]
    assert "limits.trial, 10 s" in failure.reason


def test_no_trial_starts_after_the_run_s_limit(tmp_path: Path) -> None:
    rig = Rig(tmp_path, plan(blocks=2, limits=Limits(run=10.0)))

    def slow(_: dict[str, Any]) -> dict[str, Any]:
        rig.now += 11
        return {"seconds": 11.0, "method": "copy", "why": "", "counted": False}

    rig.agent.script("reset", slow)
    with pytest.raises(StepError, match=r"limits\.run, 10 s, passed before trial 2"):
        rig.run()
    assert [trial.ordinal for trial in rig.store.trials()] == [1]


def test_a_setting_that_the_server_did_not_take_makes_the_trial_invalid(tmp_path: Path) -> None:
    rig = Rig(tmp_path, plan(blocks=1))
    rig.agent.differing["fsync"] = "off"
    rig.run()
    first, second = rig.store.trials()
    assert first.validity == "invalid"
    assert first.server is not None
    assert first.server.differing == {"fsync": ("on", "off")}
    assert second.validity != "invalid"


def test_an_image_is_built_once_and_named_by_its_content(tmp_path: Path) -> None:
    rig = Rig(tmp_path, plan(blocks=1))
    (name,) = rig.bench.images.values()
    again = build_images(rig.bench)
    assert list(again.values()) == [name]
    assert [args["image"] for op, args in rig.agent.calls if op == "image"] == [name, name]


def test_the_journal_announces_each_start_and_stop(tmp_path: Path) -> None:
    rig = Rig(tmp_path, plan(blocks=1))
    run_trials(rig.bench.plan.trials[:1], rig.bench)
    told = [(e.act, e.phase) for e in rig.bench.journal.entries() if e.act != "image"]
    assert told == [
        ("trial", "meant"),
        ("service.start", "meant"),
        ("service.start", "done"),
        ("service.stop", "meant"),
        ("service.stop", "done"),
        ("trial", "done"),
    ]
