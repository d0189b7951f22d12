"""What `benchctl status` says of a run: steps in their order, why trials failed, what comes next."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

from click.testing import CliRunner

from benchctl.cli.main import cli
from benchctl.errors import InterruptedRunError, ServiceError
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


def test_an_interruption_is_said_once(tmp_path: Path) -> None:
    text = status(make(tmp_path, "interrupted", str(InterruptedRunError(2))))
    assert text.startswith("one: interrupted\n")


def test_json_has_its_schema_and_numbers_of_trials_as_keys(tmp_path: Path) -> None:
    told = json.loads(status(make(tmp_path, "failed", "A step failed."), "--json"))
    assert told["schema"] == 1
    assert list(told["trials_failed"]) == ["1"]
