"""Hosts that a stack makes on this machine: the keys of provider lab."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, field, structs

from benchctl.model.group import Group
from benchctl.model.record import Record

MIB = 1024**2


Image = Annotated[
    Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._/:@-]{0,254}$")] | None,
    Meta(description="a container image of podman's store; default: Debian 12, built once from packages"),
]
Cpus = Annotated[
    Annotated[float, Meta(ge=0.1, le=1024)] | None,
    Meta(description="processors that each host may use; default: all"),
]
Memory = Annotated[
    Annotated[int, Meta(ge=64 * MIB, extra={"unit": "size"})] | None,
    Meta(description="memory of each host; default: no limit"),
]


class LabGroup(Group, frozen=True, kw_only=True):
    """A host group; its own options win over those of hosts."""

    image: Image = None
    cpus: Cpus = None
    memory: Memory = None


class LabHosts(Record, frozen=True, kw_only=True, tag_field="provider", tag="lab"):
    """Hosts made on this machine for the run, each with systemd and SSH, and gone after it."""

    group: ClassVar[type[Group]] = LabGroup
    kind: Annotated[Literal["container"], Meta(description="what a host is")] = "container"
    image: Image = None
    cpus: Cpus = None
    memory: Memory = None
    groups: dict[str, LabGroup] = field(default_factory=dict)

    def of(self, name: str) -> LabGroup:
        """Return a group with every option that holds for it."""
        group = self.groups[name]
        return structs.replace(
            group,
            image=group.image or self.image,
            cpus=group.cpus or self.cpus,
            memory=group.memory or self.memory,
        )
