from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.agent.lease import Lease
from benchctl.agent.refusal import RefusalError

if TYPE_CHECKING:
    from pathlib import Path

OWNER = {"user": "ada", "pid": 12, "host": "desk"}


def record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "lease.json").read_text())
    return found


def rewrite(folder: Path, **changes: Any) -> None:
    (folder / "lease.json").write_text(json.dumps({**record(folder), **changes}))


def test_taking_renewing_and_releasing(tmp_path: Path) -> None:
    lease = Lease(tmp_path, "run-1")
    lease.take(OWNER, 60)
    first = record(tmp_path)
    assert (first["run"], first["owner"], first["supervisor"]["pid"]) == ("run-1", OWNER, os.getpid())
    lease.take(OWNER, 120)
    second = record(tmp_path)
    assert second["acquired"] == first["acquired"]
    assert second["expires"] > first["expires"]
    assert lease.held
    lease.release()
    lease.release()
    assert list(tmp_path.iterdir()) == []


def test_another_run_is_told_who_holds_it(tmp_path: Path) -> None:
    Lease(tmp_path, "run-1").take(OWNER, 60)
    other = Lease(tmp_path, "run-2")
    with pytest.raises(RefusalError, match=r"the run run-1 of ada holds .* wait") as found:
        other.take(OWNER, 60)
    assert found.value.kind == "lease"
    assert not other.held
    other.release()
    assert record(tmp_path)["run"] == "run-1"


@pytest.mark.parametrize(
    "changes",
    [
        {"expires_boottime": 0},
        {"boot_id": "another"},
        {"supervisor": {"pid": os.getpid(), "birth": 1}},
        {"supervisor": {"pid": 2**22 + 1, "birth": 1}},
        {"supervisor": None},
    ],
)
def test_what_cannot_be_alive_is_taken_over(tmp_path: Path, changes: dict[str, Any]) -> None:
    Lease(tmp_path, "run-1").take(OWNER, 60)
    rewrite(tmp_path, **changes)
    Lease(tmp_path, "run-2").take(OWNER, 60)
    assert record(tmp_path)["run"] == "run-2"


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_torn_record_holds_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "lease.json").write_text(content)
    Lease(tmp_path, "run-2").take(OWNER, 60)
    assert record(tmp_path)["run"] == "run-2"


def test_who_lost_the_lease_does_not_remove_it(tmp_path: Path) -> None:
    first = Lease(tmp_path, "run-1")
    first.take(OWNER, 60)
    rewrite(tmp_path, expires_boottime=0)
    Lease(tmp_path, "run-2").take(OWNER, 60)
    first.release()
    assert record(tmp_path)["run"] == "run-2"
    with pytest.raises(RefusalError):
        first.take(OWNER, 60)
    assert not first.held


def test_the_folder_is_for_all_users(tmp_path: Path) -> None:
    Lease(tmp_path / "lease", "run-1").take(OWNER, 60)
    assert (tmp_path / "lease").stat().st_mode & 0o777 == 0o777
    assert (tmp_path / "lease" / "lease.json").stat().st_mode & 0o777 == 0o644
