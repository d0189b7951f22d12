"""The network of a run: one subnet that nothing else is in, and who may come in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
from pulumi_azure_native import network, resources

if TYPE_CHECKING:
    from benchctl.provision.request import Request

_RANGE = "10.98.0.0/24"  # the network has no way to any other, so it may be the same in every run
_EVERYTHING = "*"
_LAST = 4000  # before the rules that Azure adds to every group, which let its load balancers in


class Network(pulumi.ComponentResource):
    """A virtual network with one subnet; SSH from the caller, everything among the hosts, nothing else."""

    def __init__(self, name: str, request: Request, group: resources.ResourceGroup) -> None:
        """Make it in a resource group."""
        super().__init__("bench:azure:Network", name)
        inside = pulumi.ResourceOptions(parent=self)
        rules = network.NetworkSecurityGroup(
            name,
            network_security_group_name=name,
            resource_group_name=group.name,
            location=group.location,
            security_rules=[
                _rule("ssh", 100, "Allow", protocol="Tcp", port="22", sources=list(request.caller)),
                _rule("inside", 110, "Allow", source="VirtualNetwork"),
                _rule("nobody-else", _LAST, "Deny", source=_EVERYTHING),
            ],
            tags=request.tags,
            opts=inside,
        )
        whole = network.VirtualNetwork(
            name,
            virtual_network_name=name,
            resource_group_name=group.name,
            location=group.location,
            address_space=network.AddressSpaceArgs(address_prefixes=[_RANGE]),
            tags=request.tags,
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["subnets"]),
        )
        subnet = network.Subnet(
            name,
            subnet_name=name,
            virtual_network_name=whole.name,
            resource_group_name=group.name,
            address_prefix=_RANGE,
            network_security_group=network.NetworkSecurityGroupArgs(id=rules.id),
            opts=inside,
        )
        self.subnet_id = subnet.id
        self.register_outputs({})


def _rule(
    name: str,
    priority: int,
    access: str,
    *,
    protocol: str = _EVERYTHING,
    port: str = _EVERYTHING,
    source: str | None = None,
    sources: list[str] | None = None,
) -> network.SecurityRuleArgs:
    return network.SecurityRuleArgs(
        name=name,
        priority=priority,
        access=access,
        direction="Inbound",
        protocol=protocol,
        source_address_prefix=source,
        source_address_prefixes=sources,
        source_port_range=_EVERYTHING,
        destination_address_prefix="VirtualNetwork",
        destination_port_range=port,
    )
