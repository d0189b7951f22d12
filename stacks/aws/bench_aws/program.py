"""The program: reads what is asked for, makes network, key and host groups, exports the hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_aws as aws

from bench_aws.group import HostGroup, Site
from bench_aws.key import Key
from bench_aws.network import Network
from bench_aws.offers import Offers
from benchctl.errors import SpecError
from benchctl.model.aws import AwsHosts
from benchctl.provision.outputs import OUTPUT
from benchctl.provision.request import KEY, PINNED, read_request

if TYPE_CHECKING:
    from benchctl.provision.request import Request


def program() -> None:
    """Make what the stack's configuration asks for. Raises SpecError when it is not for AWS."""
    request = read_request(pulumi.Config().require(KEY))
    if not isinstance(request.hosts, AwsHosts):
        raise SpecError("this stack makes hosts on AWS", remedy="hosts.provider: aws")
    _make(request, request.hosts)


def _make(request: Request, hosts: AwsHosts) -> None:
    provider = aws.Provider("aws", region=hosts.region)
    options = pulumi.ResourceOptions(provider=provider)
    offers = Offers(hosts, provider)
    zone = pulumi.Output.from_input(request.pinned.get("zone") or hosts.zone or offers.zone())
    network = Network("network", request, zone, options)
    key = Key("key", request, options)
    placement = _cluster(request, offers, options) if hosts.placement == "cluster" else None
    site = Site(offers, network, key, placement)
    groups = {name: HostGroup(name, request, hosts.of(name), site, options) for name in hosts.groups}
    pulumi.export(OUTPUT, {name: group.hosts for name, group in groups.items()})
    images = {f"image.{name}": group.image for name, group in groups.items()}
    pulumi.export(PINNED, {"zone": zone, **images})


def _cluster(request: Request, offers: Offers, options: pulumi.ResourceOptions) -> aws.ec2.PlacementGroup:
    """Make the placement group; types that cannot be in one are refused before that."""
    name = f"benchctl-{request.run}"
    return aws.ec2.PlacementGroup(
        "placement", name=name, strategy=offers.strategy(), tags=request.tags, opts=options
    )
