"""What `benchctl status` says of a run: steps in their order, why trials failed, what comes next."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

from click.testing import CliRunner

from benchctl.cli.main import cli
from benchctl.errors import InterruptedRunError, ServiceError, SpecError
from benchctl.results.store import RunStore
from tests.builders import plan

if TYPE_CHECKING:
    from pathlib import Path


def make(tmp_path: Path, state: str, reason: str) -> Path:
    """A run whose first execution destroyed, whose second one collected, and whose first trial failed."""
    store = RunStore.create(tmp_path / "one", experiment_text="name: test\n", plan=plan())
    journal = store.journal()
    journal.note("run.started", pid=1, version="0", steps=[])
    for step in ("step.provision", "step.destroy", "step.collect"):
        with journal.act(step):
            pass
    with suppress(ServiceError), journal.act("trial", ordinal=1, treatment="t01"):
        raise ServiceError("it died", remedy="look at its log")
    journal.note("run.ended", state=state, reason=reason)
    journal.close()
    return store.path


def status(path: Path, *options: str) -> str:
    return CliRunner().invoke(cli, ["status", str(path), *options]).stdout


def test_steps_stand_in_their_order_and_failures_with_what_happened(tmp_path: Path) -> None:
    text = status(make(tmp_path, "failed", "A step failed.\nit broke\nTo do: mend it"))
    assert text.splitlines() == [
        "one: failed (it broke)",
        "  provision  done",
        "  collect    done",
        "  destroy    done",
        "  trials     0 of 4 done",
        "  trial 1 failed: it died",
        "`benchctl resume one` goes on, `benchctl destroy one` undoes.",
    ]


def step_by_step(tmp_path: Path, *steps: str) -> str:
    store = RunStore.create(tmp_path / "one", experiment_text="name: test\n", plan=plan())
    journal = store.journal()
    journal.note("run.started", pid=1, version="0", steps=[])
    for step in steps:
        with journal.act(f"step.{step}"):
            pass
    journal.note("run.ended", state="finished" if "benchmark" in steps else "planned", reason="")
    journal.close()
    return status(store.path).splitlines()[-1]


def test_steps_that_were_not_executed_are_named_with_the_next(tmp_path: Path) -> None:
    said = step_by_step(tmp_path, "provision", "configure", "benchmark")
    assert said == "Not executed yet: collect, destroy; `benchctl collect one` is next."


def test_a_run_that_was_provisioned_only_is_configured_next(tmp_path: Path) -> None:
    said = step_by_step(tmp_path, "provision")
    assert said.endswith("benchmark, collect, destroy; `benchctl configure one` is next.")


def test_a_whole_run_has_nothing_left(tmp_path: Path) -> None:
    said = step_by_step(tmp_path, "provision", "configure", "benchmark", "collect", "destroy")
    assert said == "  trials     0 of 4 done"


def test_a_destroy_before_the_last_step_does_not_count(tmp_path: Path) -> None:
    said = step_by_step(tmp_path, "provision", "configure", "benchmark", "destroy", "collect")
    assert said == "Not executed yet: destroy; `benchctl destroy one` is next."


def test_an_interrupted_run_that_was_destroyed_is_only_gone_on_with(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path / "one", experiment_text="name: test\n", plan=plan())
    journal = store.journal()
    journal.note("run.started", pid=1, version="0", steps=[])
    with journal.act("step.destroy"):
        pass
    journal.note("run.ended", state="interrupted", reason=str(InterruptedRunError(2)))
    journal.close()
    assert status(store.path).splitlines()[-1] == "`benchctl resume one` goes on."


def test_a_run_whose_plan_is_refused_is_not_gone_on_with(tmp_path: Path) -> None:
    reason = str(SpecError("dbms.settings.x: the server does not take it", remedy="correct the file"))
    last = status(make(tmp_path, "failed", reason)).splitlines()[-1]
    assert last == "To do: correct the file"


def test_an_interruption_is_said_once(tmp_path: Path) -> None:
    text = status(make(tmp_path, "interrupted", str(InterruptedRunError(2))))
    assert text.startswith("one: interrupted\n")


def test_json_has_its_schema_and_numbers_of_trials_as_keys(tmp_path: Path) -> None:
    told = json.loads(status(make(tmp_path, "failed", "A step failed."), "--json"))
    assert told["schema"] == 1
    assert list(told["trials_failed"]) == ["1"]
