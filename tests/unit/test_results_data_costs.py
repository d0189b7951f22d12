"""What earlier runs of a workspace tell about the time that data takes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec.structs import replace

from benchctl.model.plan import DataCost
from benchctl.results.data_costs import data_costs
from benchctl.results.store import RunStore
from tests.builders import plan, trial

if TYPE_CHECKING:
    from pathlib import Path

IMAGES = plan().images


def run(
    root: Path, name: str, age: int, *, built: bool, seconds: float, resets: tuple[float, ...] = ()
) -> None:
    """A run of the builders' plan, so many seconds older than the others."""
    store = RunStore.create(root / "runs" / name, experiment_text="name: test\n", plan=plan(blocks=2))
    journal = store.journal()
    with journal.act("image", image="abc", planned=IMAGES[0].id, instance="i", host="h") as act:
        act.learned(built=built, seconds=seconds)
    journal.close()
    for ordinal, took in enumerate(resets, start=1):
        raw = store.raw_folder(ordinal) / "localhost"
        raw.mkdir()
        (raw / "stdout").write_text('{"throughput": 100}\n')
        store.finish(replace(trial(ordinal), phases={"reset": took, "start": 0.1}))
    os.utime(store.path / "plan.json", (10_000 - age, 10_000 - age))


def test_a_workspace_without_runs_tells_nothing(tmp_path: Path) -> None:
    assert data_costs(tmp_path, IMAGES) == {}


def test_the_latest_run_that_tells_wins_for_each_of_the_two(tmp_path: Path) -> None:
    run(tmp_path, "oldest", 30, built=True, seconds=99.0, resets=(9.0, 9.0))
    run(tmp_path, "maker", 20, built=True, seconds=40.0)
    run(tmp_path, "user", 10, built=False, seconds=0.01, resets=(2.0, 3.0))
    assert data_costs(tmp_path, IMAGES) == {IMAGES[0].id: DataCost(prepare=40.0, reset=2.5, run="user")}
    assert data_costs(tmp_path, [replace(IMAGES[0], id="another")]) == {}


def test_a_run_that_cannot_be_read_tells_nothing(tmp_path: Path) -> None:
    run(tmp_path, "good", 20, built=True, seconds=4.0, resets=(1.0,))
    run(tmp_path, "bad", 10, built=True, seconds=5.0)
    (tmp_path / "runs" / "bad" / "journal.jsonl").write_text("no journal\n{}\n")
    (tmp_path / "runs" / "worse").mkdir()
    (tmp_path / "runs" / "worse" / "plan.json").write_text("{")
    assert data_costs(tmp_path, IMAGES)[IMAGES[0].id] == DataCost(prepare=4.0, reset=1.0, run="good")
