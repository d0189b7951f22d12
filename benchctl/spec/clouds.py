"""What hosts that are made must also be: what can be told without asking the cloud, or this machine.

Must not load a cloud's SDK: `validate` works without, and what only the cloud knows it says at provision.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from benchctl.model.aws import GIB
from benchctl.model.lab import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchctl.model.aws import AwsDisk, AwsHosts
    from benchctl.model.azure import AzureDisk, AzureHosts
    from benchctl.model.lab import LabGroup, LabHosts

_OWNER = re.compile(r"[0-9]{12}|amazon|self|aws-marketplace")
_BURSTABLE = re.compile(r"t[0-9][a-z]*\.")
_WIDEST = 8  # bits: a network wider than this is the world
_TUNABLE = {"gp3": ("iops", "throughput"), "io2": ("iops",), "premium-v2": ("iops", "throughput"),
            "ultra": ("iops", "throughput")}  # fmt: skip
_INSIDE = ("instance-store", "local-nvme")
_LEAST_MEMORY = 256 * MIB  # of a VM: firmware, kernel and its first file system
_COMMAND_LINE = 1500  # characters of the 2,047 that the kernel takes; the boot loader has words there too


class Complaint(NamedTuple):
    """What does not hold: where, what was found, what is allowed, what to do."""

    path: str
    found: str
    allowed: str = ""
    remedy: str = ""


def of_aws(hosts: AwsHosts) -> Iterator[Complaint]:
    """Yield what is wrong with hosts on AWS."""
    yield from _networks(hosts.ssh_from)
    if hosts.zone is not None and not hosts.zone.startswith(hosts.region):
        yield Complaint("hosts.zone", f"found {hosts.zone}", f"a zone of {hosts.region}")
    for name in hosts.groups:
        machine = hosts.of(name)
        kind = machine.instance_type or ""
        at = f"hosts.groups.{name}"
        if not kind:
            remedy = "add it, or hosts.instance_type"
            yield Complaint(f"{at}.instance_type", "found no such key", "c7i.4xlarge, m7g.metal, …", remedy)
        if machine.smt is not None and ".metal" in kind:
            yield Complaint(f"{at}.smt", f"found smt with {kind}", "smt with virtual machines: set at launch")
        if hosts.placement == "cluster" and _BURSTABLE.match(kind):
            found = f"found {kind}, which no cluster placement group takes"
            yield Complaint(
                f"{at}.instance_type", found, "", "add hosts.placement: none, or take another type"
            )
        if machine.image is not None and not _OWNER.fullmatch(machine.image.owner):
            owners = "an account's 12 digits, amazon, self or aws-marketplace"
            yield Complaint(f"{at}.image.owner", f"found {machine.image.owner!r}", owners)
        yield from _sizes(f"{at}.root_size", machine.root_size)
        yield from _disks(f"{at}.disks", machine.disks or ())


def of_azure(hosts: AzureHosts) -> Iterator[Complaint]:
    """Yield what is wrong with hosts on Azure."""
    yield from _networks(hosts.ssh_from)
    for name in hosts.groups:
        machine = hosts.of(name)
        at = f"hosts.groups.{name}"
        if machine.size is None:
            yield Complaint(f"{at}.size", "found no such key", "Standard_D8ds_v5, …", "add it, or hosts.size")
        if hosts.dedicated_host is not None and machine.spot != "never":
            yield Complaint(f"{at}.spot", "found spot capacity on a dedicated host", "never")
        zoned = [disk.type for disk in machine.disks or () if disk.type in {"premium-v2", "ultra"}]
        if zoned and hosts.zone is None:
            yield Complaint(
                f"{at}.disks", f"found a disk of type {zoned[0]} and no zone", "", 'add hosts.zone: "1"'
            )
        yield from _sizes(f"{at}.root_size", machine.root_size)
        yield from _disks(f"{at}.disks", machine.disks or ())


def of_lab(hosts: LabHosts) -> Iterator[Complaint]:
    """Yield what is wrong with hosts made on this machine."""
    if hosts.kind == "container" and hosts.accelerator != "tcg":
        found = f"found {hosts.accelerator}, and containers need no accelerator"
        yield Complaint("hosts.accelerator", found, "", "add hosts.kind: vm, or remove this key")
    wrong = _of_container if hosts.kind == "container" else _of_vm
    yield from wrong("hosts", hosts)
    for name, group in hosts.groups.items():
        yield from wrong(f"hosts.groups.{name}", group)


def _of_container(at: str, options: LabHosts | LabGroup) -> Iterator[Complaint]:
    if options.kernel_parameters:
        found = "found kernel parameters, and containers have this machine's kernel"
        yield Complaint(f"{at}.kernel_parameters", found, "", "add hosts.kind: vm, or remove this key")


def _of_vm(at: str, options: LabHosts | LabGroup) -> Iterator[Complaint]:
    if options.image is not None:
        yield Complaint(f"{at}.image", "found an image of containers, and kind vm", "", "remove this key")
    if options.cpus is not None and options.cpus % 1:
        yield Complaint(f"{at}.cpus", f"found {options.cpus:g}", "whole processors for a VM")
    if options.memory is not None and options.memory < _LEAST_MEMORY:
        found = f"found {options.memory / MIB:g}MB"
        yield Complaint(f"{at}.memory", found, f"at least {_LEAST_MEMORY // MIB}MB for a VM")
    length = len(" ".join(options.kernel_parameters or ()))
    if length > _COMMAND_LINE:
        yield Complaint(
            f"{at}.kernel_parameters", f"found {length} characters", f"at most {_COMMAND_LINE} together"
        )


def _networks(cidrs: Sequence[str]) -> Iterator[Complaint]:
    import ipaddress  # late: few files have networks

    for index, text in enumerate(cidrs):
        path = f"hosts.ssh_from.{index}"
        try:
            network = ipaddress.IPv4Network(text)
        except ValueError as error:
            yield Complaint(path, f"found {text}: {error}", "an IPv4 network: 203.0.113.7/32")
            continue
        if network.prefixlen < _WIDEST:
            yield Complaint(path, f"found {text}, which is everyone", "the addresses that you connect from")


def _disks(at: str, disks: Sequence[AwsDisk | AzureDisk]) -> Iterator[Complaint]:
    inside = [disk for disk in disks if disk.type in _INSIDE]
    if len(inside) > 1 or len(disks) - len(inside) > 1:
        yield Complaint(at, f"found {len(disks)} disks", "at most one remote disk and one inside the host")
    if len({disk.mount for disk in disks}) < len(disks):
        yield Complaint(
            at, "found two disks that are mounted at the same place", "", "give each its own mount"
        )
    for index, disk in enumerate(disks):
        path = f"{at}.{index}"
        if disk.type in _INSIDE and disk.size is not None:
            yield Complaint(
                f"{path}.size", f"found a size for {disk.type}", "what the type of machine has inside"
            )
        if disk.type not in _INSIDE and disk.size is None:
            yield Complaint(f"{path}.size", "found no such key", "100GB", "add it")
        if disk.type == "io2" and disk.iops is None:
            yield Complaint(f"{path}.iops", "found no such key", "io2 volumes are sold by IOPS", "add it")
        for key in ("iops", "throughput"):
            if getattr(disk, key) is not None and key not in _TUNABLE.get(disk.type, ()):
                yield Complaint(f"{path}.{key}", f"found {key} for {disk.type}, where it cannot be chosen")
        yield from _sizes(f"{path}.size", disk.size)


def _sizes(path: str, size: int | None) -> Iterator[Complaint]:
    if size is not None and (size % GIB or not size):
        yield Complaint(path, f"found {size / GIB:g} GB", "whole GB, at least one")
