"""The boundary between a run and the places that hosts come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from benchctl.model.experiment import Experiment
    from benchctl.model.host import Inventory


class Provisioner(Protocol):
    """Gives the hosts that an experiment asks for; the same hosts when it is asked again."""

    def provision(self, experiment: Experiment) -> Inventory:
        """Return the host groups. Raises a BenchctlError that says what the provider refused."""


@runtime_checkable
class HostMaker(Provisioner, Protocol):
    """A provisioner whose hosts are there only for the run, and have to go after it."""

    provider: str
    state: str  # where it is kept what was made
    expires: float  # s since the epoch: when the hosts shut themselves down, once they are made

    def check(self) -> None:
        """Raise an error for what can be told before anything is made."""

    def up(self, expires: float) -> Inventory:
        """Make what is missing; the hosts shut themselves down at `expires`, in s since the epoch."""

    def remove(self) -> None:
        """Take away all of it, of whatever an earlier process left too. Safe to repeat."""
