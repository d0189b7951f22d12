"""Hosts that a stack makes on this machine: the keys of provider lab."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, field

from benchctl.model.group import Group, with_options
from benchctl.model.record import Record

MIB = 1024**2

# A word becomes part of a shell's text in the boot loader's configuration: nothing there has a meaning.
Parameter = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}(=[A-Za-z0-9_.,:/@%+-]{0,190})?$",
        extra={"words": "a word of the kernel's command line, such as isolcpus=1"},
    ),
]
Image = Annotated[
    Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._/:@-]{0,254}$")] | None,
    Meta(
        description="of containers: an image of podman's store; default: Debian 12, built once from packages"
    ),
]
Cpus = Annotated[
    Annotated[float, Meta(ge=0.1, le=1024)] | None,
    Meta(description="processors of each host; default: all for a container, 2 for a VM"),
]
Memory = Annotated[
    Annotated[int, Meta(ge=64 * MIB, extra={"unit": "size"})] | None,
    Meta(description="memory of each host; default: no limit for a container, 1 GB for a VM"),
]
Parameters = Annotated[
    tuple[Parameter, ...] | None,
    Meta(description="of VMs: words that the kernel's command line gets; in force after a reboot by the run"),
]


class LabGroup(Group, frozen=True, kw_only=True):
    """A host group; its own options win over those of hosts."""

    image: Image = None
    cpus: Cpus = None
    memory: Memory = None
    kernel_parameters: Parameters = None


class LabHosts(Record, frozen=True, kw_only=True, tag_field="provider", tag="lab"):
    """Hosts made on this machine for the run, each with systemd and SSH, and gone after it."""

    group: ClassVar[type[Group]] = LabGroup
    kind: Annotated[
        Literal["container", "vm"], Meta(description="what a host is; a vm has a kernel of its own")
    ] = "container"
    accelerator: Annotated[
        Literal["tcg", "kvm"],
        Meta(description="of VMs: tcg works everywhere and is slow, kvm needs a machine that lets it work"),
    ] = "tcg"
    image: Image = None
    cpus: Cpus = None
    memory: Memory = None
    kernel_parameters: Parameters = None
    groups: dict[str, LabGroup] = field(default_factory=dict)

    def of(self, name: str) -> LabGroup:
        """Return a group with every option that holds for it, defaults filled in."""
        return with_options(self.groups[name], self, _OF_VMS if self.kind == "vm" else {})


_OF_VMS = {"cpus": 2.0, "memory": 1024 * MIB}
