"""The boundary between a run and the places that hosts come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from benchctl.model.experiment import Experiment
    from benchctl.model.host import Inventory


class Provisioner(Protocol):
    """Gives the hosts that an experiment asks for; the same hosts when it is asked again."""

    def provision(self, experiment: Experiment) -> Inventory:
        """Return the host groups. Raises a BenchctlError that says what the provider refused."""
