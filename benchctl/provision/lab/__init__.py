"""Containers and VMs on this machine as hosts: image, network, machines, and what is left of them.

What the stack in stacks/lab makes with Pulumi, it makes with these functions. Must not import Pulumi.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING

from benchctl.errors import UnfitError
from benchctl.model.lab import LabHosts
from benchctl.provision.boot import ensure_parameters
from benchctl.provision.janitor import Leftover
from benchctl.provision.lab import machines, vm
from benchctl.provision.lab.podman import REMEDY, possible, prefix, run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchctl.model.experiment import Hosts
    from benchctl.model.host import Host

__all__ = ["check", "leftovers", "remove", "settle"]


def check(hosts: Hosts) -> None:
    """Raise UnfitError where this machine cannot have container hosts, or not from the images named."""
    if not possible():
        raise UnfitError("this machine cannot have container hosts", remedy=REMEDY)
    if not isinstance(hosts, LabHosts):
        return
    if hosts.kind == "vm":
        _check_vm(hosts.accelerator)
    for image in {hosts.of(name).image for name in hosts.groups} - {None}:
        if run([*prefix(), "podman", "image", "exists", str(image)]).returncode:
            raise UnfitError(
                f"podman has no image {image}",
                remedy="build, import or pull it first; without hosts.image, benchctl makes its own",
            )


def _check_vm(accelerator: str) -> None:
    if platform.machine() != "x86_64":
        raise UnfitError(
            f"VMs of the lab are x86_64, and this machine is {platform.machine()}",
            remedy="use hosts.kind: container",
        )
    devices = {vm.TUN: "sudo modprobe tun"}
    if accelerator == "kvm":
        devices[vm.KVM] = "use hosts.accelerator: tcg, which is slow and works everywhere"
    for device, remedy in devices.items():
        if not Path(device).exists():
            raise UnfitError(f"VMs with accelerator {accelerator} need {device}", remedy=remedy)


def settle(
    run: str, hosts: Hosts, made: Sequence[Host], _expires: float, cancelled: Callable[[], bool]
) -> None:
    """Have VMs run with their kernel parameters; raises StackError with the console of one that does not."""
    if isinstance(hosts, LabHosts):
        options = [hosts.of(host.name.rpartition("-")[0]) for host in made]
        wanted = [(host, of.kernel_parameters or ()) for host, of in zip(made, options, strict=True)]
        ensure_parameters(wanted, console=lambda name: machines.console(run, name), cancelled=cancelled)


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
