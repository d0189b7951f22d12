"""What tests ask for: `lab`, the hosts of this test process, and `fresh`, hosts of the test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import pytest

from benchctl.provision.lab.podman import REMEDY, possible
from tests.lab.lab import Lab, Traits
from tests.needs import need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.host import LabHost


class Fresh:
    """Makes hosts for one test, and knows which."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.names: list[str] = []

    def __call__(self, name: str = "", **traits: Unpack[Traits]) -> LabHost:
        host = self.lab.fresh(name, **traits)
        self.names.append(host.name)
        return host


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One lab per test process, so per worker: faults in one worker's hosts do not reach another's tests."""
    need("podman", REMEDY, available=possible())
    made = Lab(tmp_path_factory.mktemp("lab"))
    yield made
    made.close()


@pytest.fixture
def fresh(lab: Lab) -> Iterator[Fresh]:
    """Makes hosts for faults that leave traces; they go with the test."""
    made = Fresh(lab)
    yield made
    lab.remove(*made.names)
