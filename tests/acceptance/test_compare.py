"""`benchctl compare` through the real executable, on recorded runs: its output and its exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.recorded import record_run

if TYPE_CHECKING:
    from collections.abc import Sequence

EXECUTABLE = Path(sys.executable).with_name("benchctl")
STEADY = [100.0, 101.0, 99.0, 100.5, 99.5, 100.2]


def compare(root: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [EXECUTABLE, "compare", *args, "--workspace", root],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def scaled(factor: float) -> list[float]:
    return [factor * value for value in STEADY]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("workspace")
    for number in (1, 2, 3):
        wobble = 1 + number / 1000
        record_run(root, f"main-{number}", {"on": scaled(wobble), "off": scaled(1.2 * wobble)})
        record_run(root, f"slow-{number}", {"on": scaled(0.9 * wobble), "off": scaled(1.2 * wobble)})
    record_run(root, "moved", {"on": STEADY, "off": STEADY}, facts={"kernel.release": "6.9.0"})
    record_run(root, "gappy", {"on": STEADY, "off": scaled(1.2)}, invalid=[3])
    return root


@pytest.mark.parametrize(
    ("args", "code", "verdicts"),
    [
        (["main-1:fsync=on", "main-1:fsync=off"], 0, ["faster"]),
        (["main-1:fsync=off", "main-1:fsync=on"], 5, ["slower"]),
        (["main-1+main-2:fsync=on", "main-3+slow-1:fsync=off"], 0, ["faster"]),
        (["main-1+main-2+main-3", "slow-1+slow-2+slow-3"], 5, ["slower", "equivalent"]),
        (["main-1", "slow-1"], 4, ["inconclusive", "inconclusive"]),
        (["main-1", "slow-1", "--single-run"], 5, ["slower", "equivalent"]),
        (["gappy:fsync=off", "gappy:fsync=on"], 4, ["slower"]),
        (["main-1", "gappy", "--single-run"], 4, ["equivalent", "equivalent"]),
        (["main-1:fsync=on", "moved:fsync=on", "--single-run", "--force"], 0, ["equivalent"]),
    ],
)
def test_exit_code_and_verdicts(workspace: Path, args: Sequence[str], code: int, verdicts: list[str]) -> None:
    done = compare(workspace, *args, "--json")
    shape = json.loads(done.stdout)
    assert (done.returncode, [c["verdict"] for c in shape["comparisons"]]) == (code, verdicts), done.stderr
    assert shape["schema"] == 1


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["main-1", "main-1"], "both sides are the same trials"),
        (["main-1", "nothing"], "no run 'nothing'"),
        (["main-1:colour=red", "main-2"], "'colour' is no factor"),
        (["main-1", "moved"], "host.kernel.release: 6.8.0 against 6.9.0"),
    ],
)
def test_refusals_say_what_to_do(workspace: Path, args: Sequence[str], said: str) -> None:
    done = compare(workspace, *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "To do:" in done.stderr


def test_by_force_a_comparison_is_suspect(workspace: Path) -> None:
    done = compare(workspace, "main-1:fsync=on", "moved:fsync=on", "--single-run", "--force", "--json")
    shape = json.loads(done.stdout)
    assert not shape["comparable"]
    assert [c["validity"] for c in shape["comparisons"]] == ["suspect"]


def test_comparing_writes_nothing(tmp_path: Path) -> None:
    store = record_run(tmp_path, "a", {"on": STEADY, "off": scaled(1.2)})
    (store.path / "summary.json").unlink()
    assert compare(tmp_path, "a:fsync=on", "a:fsync=off").returncode == 0
    assert not store.has_summary()


def test_a_run_that_goes_on_is_not_compared(tmp_path: Path) -> None:
    store = record_run(tmp_path, "a", {"on": STEADY, "off": scaled(1.2)})
    journal = store.journal()  # held open, as its controller does
    journal.note("run.started", pid=os.getpid(), version="0", steps=["benchmark"])
    done = compare(tmp_path, "a:fsync=on", "a:fsync=off")
    journal.close()
    assert done.returncode == 2
    assert "a is still running" in done.stderr


def test_the_terminal_says_what_was_compared_and_what_differs(workspace: Path) -> None:
    text = compare(workspace, "main-1:fsync=on", "main-1:fsync=off").stdout
    assert "paired by block" in text
    assert "faster" in text
    assert "level of dbms.settings.fsync" in text
