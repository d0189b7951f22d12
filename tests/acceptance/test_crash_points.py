"""kill -9 of the controller right after a journal entry, then resume or destroy: nothing lost, nothing left.

Every entry is a crash point on fakes (tests/unit/test_pipeline.py); these are the ones where real processes,
real data and a real supervisor stand behind the entry.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.conftest import QUICK

if TYPE_CHECKING:
    from tests.acceptance.conftest import Shell

pytestmark = [pytest.mark.postgres, pytest.mark.ansible, pytest.mark.slow]
TRIALS = 2
SHORT = (*QUICK, "--set=design.blocks=1", "--set=design.min_blocks=1")
POINTS = [
    ("step.configure", "meant", 1, "resume"),
    ("connect", "done", 1, "resume"),
    ("image", "meant", 1, "resume"),
    ("capacity", "meant", 1, "resume"),
    ("service.start", "meant", 1, "destroy"),
    ("service.start", "done", 2, "resume"),
    ("service.stop", "meant", 1, "resume"),
    ("trial", "done", 1, "resume"),
    ("step.collect", "meant", 1, "resume"),
    ("remove", "meant", 1, "resume"),
    ("end", "done", 1, "destroy"),
]  # act, phase, how many of them, what follows
DRIVER = Path(__file__).with_name("crash.py")


def crash(shell: Shell, act: str, phase: str, number: int) -> None:
    """Run the quickstart's two trials until the crash point."""
    command = [sys.executable, str(DRIVER), act, phase, str(number), "run", "quickstart", *SHORT]
    done = subprocess.run(
        command,
        cwd=shell.workspace,
        env=shell.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == -signal.SIGKILL, f"{done.returncode}\n{done.stderr}"


def finished(run: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in run.glob("trials/*/trial.json")}


def completed(run: Path) -> Counter[int]:
    """How often each trial came to its end, by the journal."""
    entries = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    ordinals = {
        e["seq"]: e["data"]["ordinal"] for e in entries if e["act"] == "trial" and e["phase"] == "meant"
    }
    return Counter(ordinals[e["of"]] for e in entries if e["act"] == "trial" and e["phase"] == "done")


@pytest.mark.parametrize(("act", "phase", "number", "then"), POINTS)
def test_a_crash_loses_no_trial_repeats_none_and_leaves_nothing(
    shell: Shell, act: str, phase: str, number: int, then: str
) -> None:
    if act == "image":
        shutil.rmtree(shell.cache / "images")
    if act == "capacity":
        (shell.cache / "measured.json").unlink(missing_ok=True)
    crash(shell, act, phase, number)
    (run,) = shell.workspace.glob("runs/*")
    before = finished(run)
    shell.run(then, "latest")
    shell.nothing_left()
    after = finished(run)
    assert {name: after[name] for name in before} == before
    assert max(completed(run).values(), default=1) == 1
    if then == "resume":
        assert len(after) == TRIALS
        status = json.loads(shell.run("status", "latest", "--json").stdout)
        assert (status["state"], status["trials_done"], status["trials_failed"]) == ("finished", TRIALS, {})
