"""The network of a run: one subnet that nothing else is in, and who may come in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_aws as aws

if TYPE_CHECKING:
    from benchctl.provision.request import Request

_RANGE = "10.98.0.0/24"  # 251 hosts; the network has no way to any other, so it may be the same in every run
_ANYWHERE = "0.0.0.0/0"


class Network(pulumi.ComponentResource):
    """A VPC with one public subnet; SSH from the caller, everything among the hosts, nothing else inward."""

    def __init__(
        self, name: str, request: Request, zone: pulumi.Input[str], opts: pulumi.ResourceOptions
    ) -> None:
        """Make it in an availability zone."""
        super().__init__("bench:aws:Network", name, None, opts)
        inside = pulumi.ResourceOptions(parent=self)
        tags = {**request.tags, "Name": f"benchctl {request.run}"}
        vpc = aws.ec2.Vpc(
            name,
            cidr_block=_RANGE,
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags=tags,
            opts=inside,
        )
        gateway = aws.ec2.InternetGateway(name, vpc_id=vpc.id, tags=tags, opts=inside)
        subnet = aws.ec2.Subnet(
            name, vpc_id=vpc.id, cidr_block=_RANGE, availability_zone=zone, tags=tags, opts=inside
        )
        routes = aws.ec2.RouteTable(
            name,
            vpc_id=vpc.id,
            routes=[aws.ec2.RouteTableRouteArgs(cidr_block=_ANYWHERE, gateway_id=gateway.id)],
            tags=tags,
            opts=inside,
        )
        route = aws.ec2.RouteTableAssociation(
            name, subnet_id=subnet.id, route_table_id=routes.id, opts=inside
        )
        group = aws.ec2.SecurityGroup(
            name,
            name=f"benchctl-{request.run}",
            description=f"benchctl run {request.run}: SSH from who runs it, all among its hosts",
            vpc_id=vpc.id,
            ingress=[
                aws.ec2.SecurityGroupIngressArgs(
                    description="SSH from who runs benchctl",
                    protocol="tcp",
                    from_port=22,
                    to_port=22,
                    cidr_blocks=list(request.caller),
                ),
                aws.ec2.SecurityGroupIngressArgs(
                    description="the hosts among themselves", protocol="-1", from_port=0, to_port=0, self=True
                ),
            ],
            egress=[
                aws.ec2.SecurityGroupEgressArgs(
                    description="packages", protocol="-1", from_port=0, to_port=0, cidr_blocks=[_ANYWHERE]
                )
            ],
            tags=tags,
            opts=inside,
        )
        self.subnet_id = subnet.id
        self.security_group_id = group.id
        self.way_out = route  # what a host needs before it boots: without it, it reaches no package
        self.register_outputs({})
