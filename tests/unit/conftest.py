"""What several unit tests ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchctl.agent.tuning_journal import Journal
from tests.machines import intel_active

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kernel import KernelTree


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """The journal of tuning of a host that nobody has tuned."""
    return Journal(tmp_path / "state")


@pytest.fixture
def intel() -> KernelTree:
    """A generated machine."""
    return intel_active()
