"""Components of the stack, and the dynamic resources below them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import pulumi
from pulumi.dynamic import Resource

from bench_lab.providers import HostProvider, NetworkProvider
from benchctl.provision.request import EXPIRES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchctl.model.lab import LabHosts
    from benchctl.provision.request import Request

CREATE_LIMIT = "40m"  # the first host of a user builds the image, and many VMs boot slowly


class ExportedHost(TypedDict):
    """A StackHost whose addresses and keys come when the host is made."""

    name: str
    address: pulumi.Output[str]
    private_address: pulumi.Output[str]
    port: int
    user: str
    host_key: pulumi.Output[str]
    instance_type: str
    cpus: int | None
    zone: str
    price_per_hour: float
    expires: float


class Network(Resource, module="benchctl", name="Network"):
    """A network of the run's own."""

    subnet: pulumi.Output[str]

    def __init__(self, name: str, labels: Mapping[str, str]) -> None:
        super().__init__(NetworkProvider(), name, {"name": name, "labels": dict(labels), "subnet": None})


class Host(Resource, module="benchctl", name="Host"):
    """A container or a VM with systemd and SSH; ready when it is made."""

    address: pulumi.Output[str]
    host_key: pulumi.Output[str]

    def __init__(self, name: str, props: Mapping[str, object], parent: HostGroup) -> None:
        timeouts = pulumi.CustomTimeouts(create=CREATE_LIMIT)
        super().__init__(
            HostProvider(),
            name,
            {**props, "name": name, "address": None, "host_key": None},
            pulumi.ResourceOptions(parent=parent, custom_timeouts=timeouts, delete_before_replace=True),
        )


class HostGroup(pulumi.ComponentResource):
    """The hosts of a group: NAME-1, NAME-2, …."""

    def __init__(self, name: str, hosts: LabHosts, request: Request, network: Network, *, first: int) -> None:
        """Declare them; `first` is the number of the first host in the whole run."""
        super().__init__("benchctl:lab:HostGroup", name)
        options = hosts.of(name)
        props = {
            "network": request.run,
            "subnet": network.subnet,
            "kind": hosts.kind,
            "accelerator": hosts.accelerator,
            "image": options.image or "",
            "cpus": options.cpus,
            "memory": options.memory,
            "public_key": request.public_key,
            "labels": request.tags,
        }
        self.exported: list[ExportedHost] = []
        for number in range(options.count):
            host = Host(f"{name}-{number + 1}", {**props, "index": first + number}, self)
            self.exported.append(
                {
                    "name": f"{name}-{number + 1}",
                    "address": host.address,
                    "private_address": host.address,
                    "port": 22,
                    "user": "root",
                    "host_key": host.host_key,
                    "instance_type": hosts.kind,
                    "cpus": int(options.cpus) if options.cpus and options.cpus >= 1 else None,
                    "zone": "",
                    "price_per_hour": 0.0,
                    "expires": float(request.tags[EXPIRES]),
                }
            )
        self.register_outputs({})
