"""Containers on this machine as hosts: image, network, machines, and what is left of them.

What the stack in stacks/lab makes with Pulumi, it makes with these functions. Must not import Pulumi.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchctl.errors import UnfitError
from benchctl.provision.janitor import Leftover
from benchctl.provision.lab import machines
from benchctl.provision.lab.podman import REMEDY, possible

if TYPE_CHECKING:
    from benchctl.model.experiment import Hosts

__all__ = ["check", "leftovers", "remove"]


def check(_hosts: Hosts) -> None:
    """Raise UnfitError where this machine cannot have container hosts."""
    if not possible():
        raise UnfitError("this machine cannot have container hosts", remedy=REMEDY)


def leftovers(run: str | None, _hosts: Hosts | None) -> list[Leftover]:
    """Return what carries a run's labels, hosts before networks."""
    if not possible():
        return []
    return [
        Leftover(
            provider="lab",
            kind=made.kind,
            name=made.name,
            run=made.run,
            owner=made.owner,
            expires=made.expires,
            price_per_hour=0.0,
        )
        for made in machines.made(run)
    ]


def remove(leftover: Leftover) -> None:
    """Remove a container or a network."""
    machines.remove(leftover.kind, leftover.name, leftover.run)
