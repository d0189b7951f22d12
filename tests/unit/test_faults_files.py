"""Files of a run that are not what they were: named, refused where numbers would come from them."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from benchctl.cli.main import cli
from benchctl.errors import BenchctlError, RunStateError
from benchctl.pipeline.summary import load_view, summarise
from benchctl.results.integrity import changed_files
from benchctl.results.store import RunStore
from tests.unit.test_pipeline import World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RAW = "trials/0002/raw/localhost/stdout"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    world = World(tmp_path_factory.mktemp("world"))
    world.execute()
    return world.store.path


@pytest.fixture
def store(finished: Path, tmp_path: Path) -> RunStore:
    """A copy elsewhere."""
    shutil.copytree(finished, tmp_path / "elsewhere" / finished.name)
    return RunStore(tmp_path / "elsewhere" / finished.name)


def report(store: RunStore, *words: str) -> tuple[str, BaseException | None]:
    done = CliRunner().invoke(cli, [*words, str(store.path)])
    return done.output, done.exception


def test_a_copy_elsewhere_reports_the_same_bytes(finished: Path, store: RunStore) -> None:
    _, error = report(store, "report", "--recompute")
    assert error is None
    assert (store.path / "summary.json").read_bytes() == (finished / "summary.json").read_bytes()


@pytest.mark.parametrize("listed", [True, False], ids=["manifest", "trial.json"])
@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes().replace(b"100", b"999")),
        lambda path: path.unlink(),
    ],
    ids=["truncated", "changed", "gone"],
)
def test_a_raw_file_that_changed_is_named_and_not_used(
    store: RunStore, harm: Callable[[Path], object], *, listed: bool
) -> None:
    if not listed:
        (store.path / "MANIFEST.sha256").unlink()
    before = (store.path / "summary.json").read_bytes()
    harm(store.path / RAW)
    assert changed_files(store) == (RAW,)
    _, error = report(store, "report", "--recompute")
    assert isinstance(error, RunStateError)
    assert str(store.path / RAW) in str(error)
    assert (store.path / "summary.json").read_bytes() == before
    for words in (("report",), ("runs", "show")):
        output, error = report(store, *words)
        assert error is None
        assert f"warning: {store.path / RAW} is not what the trials left" in output


@pytest.mark.parametrize("name", ["plan.json", "experiment.yml", "trials/0001/trial.json"])
def test_a_changed_record_is_named(store: RunStore, name: str) -> None:
    path = store.path / name
    path.write_bytes(path.read_bytes() + b"\n")
    _, error = report(store, "report", "--recompute")
    assert name in str(error)


@pytest.mark.parametrize(
    "name",
    [
        "plan.json",
        "inventory.json",
        "summary.json",
        "hosts/localhost/fingerprint.json",
        "trials/0003/trial.json",
        "experiment.yml",
    ],
)
@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b"\xff\xfe", b'{"all": 1}', None], ids=repr)
def test_a_broken_record_is_said_by_name_and_never_a_defect(
    store: RunStore, name: str, content: bytes | None
) -> None:
    path = store.path / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    for act in (summarise, load_view):
        error = error_of(act, store)
        if isinstance(error, FileNotFoundError):
            assert content is None
        elif error is not None:
            assert isinstance(error, BenchctlError)
            assert name in str(error)
            assert error.remedy


def error_of(act: Callable[[RunStore], object], store: RunStore) -> Exception | None:
    try:
        act(store)
    except Exception as error:  # noqa: BLE001 - which one it is, is what the test asks
        return error
    return None


@pytest.mark.parametrize("schema", [0, 3, 99])
@pytest.mark.parametrize("name", ["plan.json", "trials/0001/trial.json", "summary.json"])
def test_a_record_of_another_schema_is_refused_with_both_numbers(
    store: RunStore, name: str, schema: int
) -> None:
    path = store.path / name
    content: dict[str, Any] = json.loads(path.read_bytes())
    path.write_text(json.dumps(content | {"schema": schema, "news": True}))
    _, error = report(store, "report")
    assert isinstance(error, RunStateError)
    assert f"{path}: its schema is {schema}; benchctl" in str(error)
    known = 1 if name == "summary.json" else 2
    assert f"knows schema {known}" in str(error)
    assert "use the benchctl that made the run" in error.remedy


def test_a_record_without_a_schema_is_refused(store: RunStore) -> None:
    path = store.path / "plan.json"
    content = json.loads(path.read_bytes())
    del content["schema"]
    path.write_text(json.dumps(content))
    with pytest.raises(RunStateError, match="its schema is None"):
        store.plan()
