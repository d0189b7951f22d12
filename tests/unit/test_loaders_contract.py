"""Every shipped load generator's module on its recorded outputs, by the suite that plug-ins use too."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchctl.loaders.loader import shipped
from benchctl.testing.loader_contract import LoaderContract, recorded

CASES = Path(__file__).parents[1] / "cases" / "loaders"
OUTPUTS = {"fio": "fio.json", "stress_ng": "stress-ng.yaml"}
ALL = [case for role in sorted(shipped()) for case in recorded(CASES, role)]


class TestEveryShippedLoader(LoaderContract):
    @pytest.fixture(params=ALL, ids=lambda path: f"{path.parent.name}-{path.name}")
    def case(self, request: pytest.FixtureRequest) -> Path:
        return Path(request.param)

    def output(self, case: Path) -> str:
        return OUTPUTS.get(case.parent.name, "stdout")

    def free_form(self, case: Path) -> bool:
        return case.parent.name == "command"


@pytest.mark.parametrize("role", sorted(shipped()))
def test_every_load_generator_has_recorded_outputs(role: str) -> None:
    assert recorded(CASES, role)
