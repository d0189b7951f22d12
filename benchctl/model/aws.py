"""Hosts that a stack makes on AWS: the keys of provider aws."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, field

from benchctl.model.group import Group, with_options
from benchctl.model.record import Record

GIB = 1024**3
DEBIAN = "136693071363"  # Debian's own account: https://wiki.debian.org/Cloud/AmazonEC2Image

Cidrs = Annotated[
    tuple[Annotated[str, Meta(pattern=r"^[0-9.]{7,15}/[0-9]{1,2}$")], ...],
    Meta(description="IPv4 networks that may connect by SSH; default: this machine, as seen from outside"),
]


class AwsDisk(Record, frozen=True, kw_only=True):
    """A disk for data beside the root disk; gone with its host."""

    type: Annotated[
        Literal["gp3", "io2", "instance-store"],
        Meta(description="a kind of EBS volume, or the first NVMe disk inside the host"),
    ] = "gp3"
    size: Annotated[
        Annotated[int, Meta(extra={"unit": "size"})] | None, Meta(description="EBS: its size, whole GB")
    ] = None
    iops: Annotated[
        Annotated[int, Meta(ge=100, le=256_000)] | None,
        Meta(description="EBS: provisioned IOPS; io2 needs it"),
    ] = None
    throughput: Annotated[
        Annotated[int, Meta(ge=125, le=2_000)] | None, Meta(description="gp3: throughput, MiB/s")
    ] = None
    mount: Annotated[
        Annotated[str, Meta(pattern=r"^/[A-Za-z0-9_./-]+$")] | None,
        Meta(description="where it is mounted; default: benchctl's cache, in which data and images lie"),
    ] = None


class AwsImage(Record, frozen=True, kw_only=True):
    """A machine image: the newest one of an owner whose name matches; found once, then the run keeps it."""

    owner: Annotated[
        str, Meta(description="the owner's account, amazon or self; default: Debian", extra={"unit": "text"})
    ] = DEBIAN
    name: Annotated[str, Meta(description="its name, with * for any text and {arch} for amd64 or arm64")] = (
        "debian-12-{arch}-2*"
    )
    user: Annotated[
        Annotated[str, Meta(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")],
        Meta(description="the user that it lets in"),
    ] = "admin"


InstanceType = Annotated[
    Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]*\.[a-z0-9-]+$")] | None,
    Meta(description="the kind of machine: c7i.4xlarge, m7g.metal; needed, here or in each group"),
]
Image = Annotated[AwsImage | None, Meta(description="the machine image; default: Debian 12")]
Spot = Annotated[
    Literal["never", "prefer", "only"] | None,
    Meta(description="spot capacity; prefer: on demand where there is none; default: never"),
]
Smt = Annotated[
    bool | None,
    Meta(description="false: one thread per core from the launch on; default: as the type has it"),
]
Tenancy = Annotated[
    Literal["default", "dedicated"] | None,
    Meta(description="dedicated: hardware that no other account shares"),
]
EnaExpress = Annotated[bool | None, Meta(description="ENA Express between the hosts; the type must offer it")]
RootSize = Annotated[
    Annotated[int, Meta(extra={"unit": "size"})] | None,
    Meta(description="size of the root disk (gp3), whole GB; default: 20GB"),
]
Disks = Annotated[tuple[AwsDisk, ...] | None, Meta(description="disks for data; default: none but root")]


class AwsGroup(Group, frozen=True, kw_only=True):
    """A host group; its own options win over those of hosts."""

    instance_type: InstanceType = None
    image: Image = None
    spot: Spot = None
    smt: Smt = None
    tenancy: Tenancy = None
    ena_express: EnaExpress = None
    root_size: RootSize = None
    disks: Disks = None


class AwsHosts(Record, frozen=True, kw_only=True, tag_field="provider", tag="aws"):
    """Instances of EC2 made for the run in a network of their own, and gone after it."""

    group: ClassVar[type[Group]] = AwsGroup
    region: Annotated[
        Annotated[str, Meta(pattern=r"^[a-z]{2,}(-[a-z]+)+-[0-9]+$")], Meta(description="where: eu-central-1")
    ]
    zone: Annotated[
        Annotated[str, Meta(pattern=r"^[a-z]{2,}(-[a-z0-9]+)+$")] | None,
        Meta(description="availability zone; default: the first that offers all the types"),
    ] = None
    placement: Annotated[
        Literal["cluster", "none"],
        Meta(description="cluster: all hosts close together, in one placement group"),
    ] = "cluster"
    ssh_from: Cidrs = ()
    instance_type: InstanceType = None
    image: Image = None
    spot: Spot = None
    smt: Smt = None
    tenancy: Tenancy = None
    ena_express: EnaExpress = None
    root_size: RootSize = None
    disks: Disks = None
    groups: dict[str, AwsGroup] = field(default_factory=dict)

    def of(self, name: str) -> AwsGroup:
        """Return a group with every option that holds for it, defaults filled in."""
        return with_options(self.groups[name], self, _DEFAULTS)


_DEFAULTS = {
    "image": AwsImage(),
    "spot": "never",
    "tenancy": "default",
    "ena_express": False,
    "root_size": 20 * GIB,
    "disks": (),
}
