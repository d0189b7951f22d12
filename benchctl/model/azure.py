"""Hosts that a stack makes on Azure: the keys of provider azure."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, field

from benchctl.model.aws import GIB, Cidrs
from benchctl.model.group import Group, with_options
from benchctl.model.record import Record


class AzureDisk(Record, frozen=True, kw_only=True):
    """A disk for data beside the root disk; gone with its host."""

    type: Annotated[
        Literal["premium", "premium-v2", "ultra", "local-nvme"],
        Meta(description="a kind of managed disk, or the first NVMe disk inside the host"),
    ] = "premium-v2"
    size: Annotated[
        Annotated[int, Meta(extra={"unit": "size"})] | None, Meta(description="managed: its size, whole GB")
    ] = None
    iops: Annotated[
        Annotated[int, Meta(ge=100, le=400_000)] | None,
        Meta(description="premium-v2, ultra: provisioned IOPS"),
    ] = None
    throughput: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)] | None, Meta(description="premium-v2, ultra: throughput, MB/s")
    ] = None
    mount: Annotated[
        Annotated[str, Meta(pattern=r"^/[A-Za-z0-9_./-]+$")] | None,
        Meta(description="where it is mounted; default: benchctl's cache, in which data and images lie"),
    ] = None


class AzureImage(Record, frozen=True, kw_only=True):
    """A marketplace image; the version that `latest` is at the first host is kept for the run."""

    publisher: Annotated[str, Meta(description="its publisher")] = "debian"
    offer: Annotated[str, Meta(description="its offer", extra={"unit": "text"})] = "debian-12"
    sku: Annotated[str, Meta(description="its SKU; 12-arm64 for Arm sizes", extra={"unit": "text"})] = (
        "12-gen2"
    )
    version: Annotated[str, Meta(description="its version, or latest", extra={"unit": "text"})] = "latest"


Size = Annotated[
    Annotated[str, Meta(pattern=r"^(Standard|Basic)_[A-Za-z0-9-]+(_[A-Za-z0-9-]+)*$")] | None,
    Meta(description="the kind of machine: Standard_D8ds_v5; needed, here or in each group"),
]
Image = Annotated[AzureImage | None, Meta(description="the marketplace image; default: Debian 12")]
Spot = Annotated[
    Literal["never", "prefer", "only"] | None,
    Meta(description="spot capacity; prefer: on demand where there is none; default: never"),
]
Accelerated = Annotated[
    bool | None, Meta(description="accelerated networking; default: true, which most sizes offer")
]
EphemeralOs = Annotated[
    bool | None,
    Meta(description="the root disk on the host's own disk, not on remote storage; default: false"),
]
RootSize = Annotated[
    Annotated[int, Meta(extra={"unit": "size"})] | None,
    Meta(description="size of the root disk, whole GB; default: 30GB"),
]
Disks = Annotated[tuple[AzureDisk, ...] | None, Meta(description="disks for data; default: none but root")]


class AzureGroup(Group, frozen=True, kw_only=True):
    """A host group; its own options win over those of hosts."""

    size: Size = None
    image: Image = None
    spot: Spot = None
    accelerated_networking: Accelerated = None
    ephemeral_os: EphemeralOs = None
    root_size: RootSize = None
    disks: Disks = None


class AzureHosts(Record, frozen=True, kw_only=True, tag_field="provider", tag="azure"):
    """Virtual machines made for the run in a resource group of their own, and gone after it."""

    group: ClassVar[type[Group]] = AzureGroup
    location: Annotated[
        Annotated[str, Meta(pattern=r"^[a-z]{2,}[a-z0-9]*$")], Meta(description="where: westeurope")
    ]
    zone: Annotated[
        Literal["1", "2", "3"] | None,
        Meta(description="availability zone, in quotes; needed for ultra and premium-v2 disks"),
    ] = None
    placement: Annotated[
        Literal["proximity", "none"],
        Meta(description="proximity: all hosts close together, in one proximity placement group"),
    ] = "proximity"
    dedicated_host: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{2,60}$")] | None,
        Meta(description="the SKU of one dedicated host that carries all virtual machines: DSv5-Type1"),
    ] = None
    user: Annotated[
        Annotated[str, Meta(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")],
        Meta(description="the user that is made on each host"),
    ] = "bench"
    at_expiry: Annotated[
        Literal["delete", "stop"],
        Meta(
            description="what a host does whose time is over: delete the run's resource group, or shut down"
        ),
    ] = "delete"
    ssh_from: Cidrs = ()
    size: Size = None
    image: Image = None
    spot: Spot = None
    accelerated_networking: Accelerated = None
    ephemeral_os: EphemeralOs = None
    root_size: RootSize = None
    disks: Disks = None
    groups: dict[str, AzureGroup] = field(default_factory=dict)

    def of(self, name: str) -> AzureGroup:
        """Return a group with every option that holds for it, defaults filled in."""
        return with_options(self.groups[name], self, _DEFAULTS)


_DEFAULTS = {
    "image": AzureImage(),
    "spot": "never",
    "accelerated_networking": True,
    "ephemeral_os": False,
    "root_size": 30 * GIB,
    "disks": (),
}
