"""The roles that changed since the last tag, less the four that always run."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from benchctl.spec.share import shared
from tests.molecule import running

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = running.marks


def changed(root: Path) -> list[str]:
    """Roles with scenarios of which a file was changed since the last tag; none without a tag."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=root, capture_output=True, text=True, check=False, timeout=60
        )
        return done.stdout if done.returncode == 0 else ""

    tag = git("describe", "--tags", "--abbrev=0").strip()
    paths = git("diff", "--name-only", tag, "--", "roles").splitlines() if tag else []
    names = {path.split("/")[1] for path in paths} - set(running.FOUR)
    return sorted(name for name in names if (root / "roles" / name / "molecule").is_dir())


@running.each_scenario
@pytest.mark.parametrize("role", changed(shared("roles").parent))
def test_a_role_that_changed(role: str, scenario: str) -> None:
    running.succeed(role, scenario)
