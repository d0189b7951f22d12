"""The role and the module of exampleload, by the suites that benchctl's own are held to."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchctl.testing.loader_contract import LoaderContract, recorded
from benchctl.testing.role_contract import RoleContract

HERE = Path(__file__).parent


class TestLoader(LoaderContract):
    @pytest.fixture(params=recorded(HERE / "cases", "exampleload"), ids=lambda path: path.name)
    def case(self, request: pytest.FixtureRequest) -> Path:
        return Path(request.param)


class TestRole(RoleContract):
    @pytest.fixture
    def role(self) -> Path:
        return HERE.parent / "benchctl_exampleload" / "roles" / "exampleload"
