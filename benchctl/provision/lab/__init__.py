"""Containers on this machine as hosts: image, network, machines, and what is left of them.

What the stack in stacks/lab makes with Pulumi, it makes with these functions. Must not import Pulumi.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchctl.errors import UnfitError
from benchctl.model.lab import LabHosts
from benchctl.provision.janitor import Leftover
from benchctl.provision.lab import machines
from benchctl.provision.lab.podman import REMEDY, possible, prefix, run

if TYPE_CHECKING:
    from benchctl.model.experiment import Hosts

__all__ = ["check", "leftovers", "remove"]


def check(hosts: Hosts) -> None:
    """Raise UnfitError where this machine cannot have container hosts, or not from the images named."""
    if not possible():
        raise UnfitError("this machine cannot have container hosts", remedy=REMEDY)
    if isinstance(hosts, LabHosts):
        for image in {hosts.of(name).image for name in hosts.groups} - {None}:
            if run([*prefix(), "podman", "image", "exists", str(image)]).returncode:
                raise UnfitError(
                    f"podman has no image {image}",
                    remedy="build, import or pull it first; without hosts.image, benchctl makes its own",
                )


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
