from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import msgspec
import pytest

from benchctl.errors import RunStateError, UnfitError, UsageError
from benchctl.results.store import RunStore
from benchctl.results.workspace import find_run, list_runs, new_run_path
from tests.builders import plan, trial


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore.create(tmp_path / "runs" / "one", experiment_text="name: test\n", plan=plan())


def finish(store: RunStore, ordinal: int) -> Path:
    raw = store.raw_folder(ordinal)
    (raw / "localhost").mkdir()
    (raw / "localhost/stdout").write_text('{"throughput": 100}\n')
    store.finish(trial(ordinal))
    return raw


def test_what_is_stored_is_read_back(store: RunStore) -> None:
    finish(store, 1)
    assert store.plan() == plan()
    assert store.trials() == (trial(1),)
    assert store.is_done(1)
    assert not store.is_done(2)


def test_a_finished_trial_is_never_repeated(store: RunStore) -> None:
    finish(store, 1)
    with pytest.raises(RunStateError, match="this trial is done"):
        store.raw_folder(1)
    store.abandon(1)
    assert (store.trial_folder(1) / "raw" / "localhost" / "stdout").exists()


def test_attempts_that_did_not_finish_are_kept_aside(store: RunStore) -> None:
    for attempt in (1, 2):
        assert store.attempt(2) == attempt
        (store.raw_folder(2) / "stdout").write_text(f"attempt {attempt}")
        store.abandon(2)
    finish(store, 2)
    kept = [path.read_text() for path in sorted(store.trial_folder(2).glob("attempts/*/stdout"))]
    assert kept == ["attempt 1", "attempt 2"]


def test_a_crash_before_the_rename_leaves_the_trial_undone(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            finish(store, 1)
    assert store.trials() == ()
    finish(store, 1)
    assert [t.ordinal for t in store.trials()] == [1]


def test_the_manifest_is_what_sha256sum_checks(store: RunStore) -> None:
    raw = finish(store, 1)
    store.save_manifest()
    lines = (store.path / "MANIFEST.sha256").read_text().splitlines()
    digest = hashlib.sha256((raw / "localhost/stdout").read_bytes()).hexdigest()
    assert f"{digest}  trials/0001/raw/localhost/stdout" in lines
    assert [line.split("  ")[1] for line in lines] == [
        "experiment.yml",
        "plan.json",
        "trials/0001/raw/localhost/stdout",
        "trials/0001/trial.json",
    ]
    subprocess.run(["sha256sum", "--check", "--quiet", "MANIFEST.sha256"], cwd=store.path, check=True)


def test_a_damaged_file_is_named(store: RunStore) -> None:
    finish(store, 1)
    path = store.trial_folder(1) / "trial.json"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RunStateError, match=r"0001/trial\.json"):
        store.trials()


def test_an_unwritable_workspace_is_said_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file, not a folder")
    with pytest.raises(UnfitError, match="--workspace"):
        RunStore.create(tmp_path / "runs" / "one", experiment_text="", plan=plan())


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    for name in ("20260101-1000-a-1111", "20260101-1000-b-2222", "20260102-1000-a-3333"):
        RunStore.create(tmp_path / "runs" / name, experiment_text="", plan=plan())
    return tmp_path


def test_a_run_is_found_by_id_prefix_path_and_latest(workspace: Path) -> None:
    ids = [store.id for store in list_runs(workspace)]
    assert find_run(ids[0], workspace).id == ids[0]
    assert find_run("20260102", workspace).id == "20260102-1000-a-3333"
    assert find_run(str(workspace / "runs" / ids[1]), Path("/nowhere")).id == ids[1]
    assert find_run("latest", workspace).id == ids[-1]


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("20260101", "is the beginning of 2 runs"),
        ("20260101-1000-a-1112", "did you mean 20260101-1000-a-1111"),
        ("nothing", "runs list"),
    ],
)
def test_a_reference_to_none_or_several_says_what_there_is(
    workspace: Path, reference: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        find_run(reference, workspace)


def test_latest_without_runs_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run 'latest'"):
        find_run("latest", tmp_path)


def test_run_ids_sort_by_time(tmp_path: Path) -> None:
    path = new_run_path(tmp_path, "quickstart", now=0.0)
    assert path.parent == tmp_path / "runs"
    assert path.name.startswith("19700101-0000-quickstart-")


def test_records_survive_the_way_through_json() -> None:
    again = msgspec.json.decode(msgspec.json.encode(trial(3)), type=type(trial(3)))
    assert again == trial(3)
