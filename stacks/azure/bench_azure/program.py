"""The program: reads what is asked for, makes resource group, network and host groups, exports the hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
from pulumi_azure_native import compute, resources

from bench_azure.group import HostGroup, Site
from bench_azure.network import Network
from benchctl.errors import SpecError
from benchctl.model.azure import AzureHosts
from benchctl.provision.outputs import OUTPUT
from benchctl.provision.request import KEY, PINNED, read_request

if TYPE_CHECKING:
    from benchctl.provision.request import Request


def program() -> None:
    """Make what the stack's configuration asks for. Raises SpecError when it is not for Azure."""
    request = read_request(pulumi.Config().require(KEY))
    if not isinstance(request.hosts, AzureHosts):
        raise SpecError("this stack makes hosts on Azure", remedy="hosts.provider: azure")
    _make(request, request.hosts)


def _make(request: Request, hosts: AzureHosts) -> None:
    group = resources.ResourceGroup(
        "group",
        resource_group_name=f"benchctl-{request.run}",
        location=hosts.location,
        tags=request.tags,
    )
    site = Site(
        hosts=hosts,
        group=group,
        network=Network("network", request, group),
        placement=_placement(request, hosts, group) if hosts.placement == "proximity" else None,
        dedicated=_dedicated(request, hosts, group, hosts.dedicated_host) if hosts.dedicated_host else None,
    )
    groups = {name: HostGroup(name, request, hosts.of(name), site) for name in hosts.groups}
    pulumi.export(OUTPUT, {name: made.hosts for name, made in groups.items()})
    pulumi.export(PINNED, {f"image.{name}": made.image for name, made in groups.items()})


def _placement(
    request: Request, hosts: AzureHosts, group: resources.ResourceGroup
) -> compute.ProximityPlacementGroup:
    return compute.ProximityPlacementGroup(
        "placement",
        proximity_placement_group_name="placement",
        resource_group_name=group.name,
        location=group.location,
        proximity_placement_group_type="Standard",
        zones=_zones(hosts),
        tags=request.tags,
    )


def _dedicated(
    request: Request, hosts: AzureHosts, group: resources.ResourceGroup, sku: str
) -> compute.DedicatedHost:
    several = compute.DedicatedHostGroup(
        "dedicated",
        host_group_name="dedicated",
        resource_group_name=group.name,
        location=group.location,
        platform_fault_domain_count=1,
        zones=_zones(hosts),
        tags=request.tags,
    )
    return compute.DedicatedHost(
        "dedicated",
        host_name="dedicated",
        host_group_name=several.name,
        resource_group_name=group.name,
        location=group.location,
        platform_fault_domain=0,
        sku=compute.SkuArgs(name=sku),
        tags=request.tags,
    )


def _zones(hosts: AzureHosts) -> list[str] | None:
    return [hosts.zone] if hosts.zone else None
