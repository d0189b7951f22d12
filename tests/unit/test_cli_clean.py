"""`benchctl clean` on a cache made by hand, with and without a run that holds the machine."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from benchctl.agent.build import zipapp
from benchctl.agent.lease import Lease
from tests.unit.test_cli_main import run_main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two images, an instance with its stamp, two agents, a work folder."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("BENCHCTL_CACHE", str(cache))
    monkeypatch.setenv("BENCHCTL_LEASE_DIR", str(tmp_path / "lease"))
    files = {
        "images/aa/image.json": json.dumps({"instance": "postgresql-1"}),
        "images/aa/data/PG_VERSION": "18\n" * 5000,
        "images/bb/half": "built",
        "instances/postgresql-1/descriptor.json": json.dumps({"binaries": {"postgres": "/opt/bin/postgres"}}),
        "instances/torn/descriptor.json": "{",
        "stamps/postgresql-1": "hash",
        "stamps/pgbench": "hash",
        "loaders/pgbench/descriptor.json": "{}",
        "agent/0000.pyz": "old",
        "runs/gone/postgresql-1/data/file": "x",
    }
    for name, text in files.items():
        path = cache / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    current = zipapp(cache)
    current.with_name(f"{current.name}.cpython-311").write_text("its compiled copy")
    return cache


def left(cache: Path) -> set[str]:
    return {path.relative_to(cache).as_posix() for path in cache.rglob("*") if path.is_file()}


def test_it_lists_and_asks_before_anything_goes(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = left(cache)
    assert run_main(monkeypatch, "clean") == 2
    shown = capsys.readouterr()
    assert "add --yes" in shown.err
    for words in ("aa  (data of postgresql-1)", "bb  (data of an unfinished build)", "0000.pyz", "gone"):
        assert words in shown.out
    assert "postgresql-1  (runs /opt/bin/postgres)" in shown.out
    assert "torn  (incomplete)" in shown.out
    assert left(cache) == before


def test_json_lists_and_removes_only_with_yes(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = left(cache)
    assert run_main(monkeypatch, "clean", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["schema"], told["removed"]) == (1, False)
    kinds = [(item["kind"], item["name"]) for item in told["items"]]
    assert kinds == [
        ("image", "aa"),
        ("image", "bb"),
        ("instance", "postgresql-1"),
        ("instance", "torn"),
        ("agent", "0000.pyz"),
        ("work", "gone"),
    ]
    assert told["bytes"] == sum(item["bytes"] for item in told["items"]) > 15_000
    assert left(cache) == before
    assert run_main(monkeypatch, "clean", "--json", "--yes") == 0
    assert json.loads(capsys.readouterr().out)["removed"] is True
    assert left(cache) < before


def test_what_a_later_run_needs_to_know_is_true_afterwards(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_main(monkeypatch, "clean", "--yes") == 0
    agent = f"agent/{zipapp(tmp_path / 'other').name}"
    assert left(cache) == {agent, f"{agent}.cpython-311", "stamps/pgbench", "loaders/pgbench/descriptor.json"}
    assert list((tmp_path / "lease").glob("*.json")) == []


def test_a_second_time_there_is_nothing_to_do(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_main(monkeypatch, "clean", "--yes")
    capsys.readouterr()
    assert run_main(monkeypatch, "clean") == 0
    assert "Nothing to remove" in capsys.readouterr().err


def test_nothing_goes_while_a_run_holds_the_machine(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = left(cache)
    lease = Lease(tmp_path / "lease", "somebody-s-run")
    lease.take({"user": "somebody", "pid": os.getpid(), "host": "here"}, 60.0)
    assert run_main(monkeypatch, "clean", "--yes") == 3
    assert "somebody-s-run" in capsys.readouterr().err
    assert left(cache) == before
    lease.release()
    assert run_main(monkeypatch, "clean", "--yes") == 0


def test_a_removal_that_was_cut_short_is_finished_by_the_next(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("benchctl.results.cache.shutil", SimpleNamespace(rmtree=crash))
        assert run_main(monkeypatch, "clean", "--yes") == 130
    assert not (cache / "images" / "aa").exists()
    capsys.readouterr()
    assert run_main(monkeypatch, "clean", "--yes", "--json") == 0
    assert "leftover" in {item["kind"] for item in json.loads(capsys.readouterr().out)["items"]}
    assert not (cache / ".removed").exists()


def test_without_a_cache_there_is_nothing_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BENCHCTL_CACHE", str(tmp_path / "none"))
    assert run_main(monkeypatch, "clean", "--yes") == 0
    assert not (tmp_path / "none").exists()
