"""`python -m benchctl.testing.scenarios`: what it says of what it cannot run."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from benchctl.spec.share import shared
from benchctl.testing import scenarios
from tests.molecule import test_changed as changing

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no role"),
        (("no/such/role",), "has no scenarios"),
        ((str(shared("roles") / "bench_common"),), "has no scenarios"),
        ((str(shared("roles") / "redis"), "rountrip"), "has no scenario rountrip"),
    ],
)
def test_what_is_not_there_is_said(words: tuple[str, ...], said: str) -> None:
    argv = [sys.executable, "-m", "benchctl.testing.scenarios", *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_scenarios_run_in_their_order_and_those_of_ones_own_last(tmp_path: Path) -> None:
    for name in ("roundtrip", "own", "alternative", "default"):
        (tmp_path / "molecule" / name).mkdir(parents=True)
        (tmp_path / "molecule" / name / "molecule.yml").touch()
    assert scenarios.in_order(tmp_path) == ["default", "alternative", "roundtrip", "own"]


def test_roles_that_changed_since_a_tag_are_found(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        own = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        subprocess.run(["git", *own, *words], cwd=tmp_path, check=True, capture_output=True, timeout=60)

    def change(role: str, text: str) -> None:
        (tmp_path / "roles" / role / "molecule").mkdir(parents=True, exist_ok=True)
        (tmp_path / "roles" / role / "main.yml").write_text(text)
        git("add", "-A")
        git("commit", "-m", text)

    git("init", "-q")
    for role in ("redis", "fio", "hey"):
        change(role, f"{role} 1")
    assert changing.changed(tmp_path) == []
    git("tag", "v1")
    assert changing.changed(tmp_path) == []
    change("fio", "fio 2")
    change("redis", "redis 2")
    assert changing.changed(tmp_path) == ["fio"]
