"""The role of exampledb, by the suite that benchctl's own are held to."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchctl.testing.role_contract import RoleContract


class TestRole(RoleContract):
    @pytest.fixture
    def role(self) -> Path:
        return Path(__file__).parents[1] / "benchctl_exampledb" / "roles" / "exampledb"
