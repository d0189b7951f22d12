"""The README's two commands are kept true: one is run here, the other is what CI runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.acceptance.conftest import Shell

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.postgres, pytest.mark.ansible, pytest.mark.slow]


def commands() -> list[str]:
    """Every line of the README's shell blocks that calls make."""
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"^```(?:sh|bash|console)?\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    lines = [line.removeprefix("$ ").split("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("make ")]


def test_the_readme_has_two_commands_and_ci_runs_the_second() -> None:
    assert commands() == ["make quickstart", "make test"]
    assert commands()[1] in (ROOT / ".ci" / "run").read_text().splitlines()


def test_the_first_command_measures_and_reports(shell: Shell) -> None:
    done = subprocess.run(
        [*commands()[0].split(), f"VENV={Path(sys.executable).parents[1]}"],
        cwd=ROOT,
        env={**shell.environment, "BENCHCTL_WORKSPACE": str(shell.workspace)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "synchronous_commit=off" in done.stdout
    (report,) = shell.workspace.glob("runs/*/report.html")
    assert str(report) in done.stderr
    shell.nothing_left()
