"""A host group: equal instances, each with its own host key and its dead man's switch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pulumi
import pulumi_aws as aws

from benchctl.errors import SpecError
from benchctl.model.aws import GIB
from benchctl.provision.cloud_init import CACHE, Disk, user_data
from benchctl.provision.keys import derived_key
from benchctl.provision.outputs import StackHost

if TYPE_CHECKING:
    from bench_aws.key import Key
    from bench_aws.network import Network
    from bench_aws.offers import Offers
    from benchctl.model.aws import AwsDisk, AwsGroup
    from benchctl.provision.request import Request

_MODELS = {True: "Amazon EC2 NVMe Instance Storage", False: "Amazon Elastic Block Store"}
_CREATE = "15m"  # metal takes its time
# A later `up` of a run (a longer life, more hosts) must neither replace nor restart what already measures.
_KEPT = ["ami", "userData", "instanceMarketOptions"]


class Site(NamedTuple):
    """What the groups of a stack share."""

    offers: Offers
    network: Network
    key: Key
    placement: aws.ec2.PlacementGroup | None


class HostGroup(pulumi.ComponentResource):
    """The instances of one group; `hosts` are their records as the stack exports them."""

    def __init__(
        self, name: str, request: Request, machine: AwsGroup, site: Site, opts: pulumi.ResourceOptions
    ) -> None:
        """Make as many hosts as the group counts."""
        super().__init__("bench:aws:HostGroup", name, None, opts)
        self._price = request.prices.get(name)
        self._request, self._machine, self._network = request, machine, site.network
        self._kind = site.offers.types[str(machine.instance_type)]
        pinned = request.pinned.get(f"image.{name}")
        self.image = pulumi.Output.from_input(pinned) if pinned else site.offers.image(machine)
        self._template = self._express(name) if machine.ena_express else None
        self._shared: dict[str, Any] = {
            "ami": self.image,
            "instance_type": machine.instance_type,
            "key_name": site.key.key_name,
            "placement_group": site.placement.name if site.placement else None,
            "tenancy": machine.tenancy,
            "cpu_options": self._cpu_options(),
            "instance_market_options": self._market(),
            "root_block_device": aws.ec2.InstanceRootBlockDeviceArgs(
                volume_type="gp3",
                volume_size=_whole(machine.root_size or 0),
                encrypted=True,
                delete_on_termination=True,
            ),
            "ebs_block_devices": [_volume(disk) for disk in machine.disks or () if disk.size is not None],
            **self._interface(),
        }
        self.hosts = [self._host(f"{name}-{number}") for number in range(1, machine.count + 1)]
        self.register_outputs({})

    def _host(self, name: str) -> pulumi.Output[dict[str, Any]]:
        request, machine = self._request, self._machine
        key = derived_key(request.seed, name)
        user = machine.image.user if machine.image else ""
        tags = {**request.tags, "Name": f"{request.run} {name}"}
        config = user_data(
            key, expires=request.expires, user=user, disks=[_disk(disk) for disk in machine.disks or ()]
        )
        instance = aws.ec2.Instance(
            name,
            user_data=pulumi.Output.secret(config),
            instance_initiated_shutdown_behavior="terminate",
            metadata_options=aws.ec2.InstanceMetadataOptionsArgs(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
            ),
            tags=tags,
            volume_tags=tags,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[self._network.way_out],
                ignore_changes=_KEPT,
                custom_timeouts=pulumi.CustomTimeouts(create=_CREATE),
            ),
            **self._shared,
        )

        def record(found: dict[str, Any]) -> dict[str, Any]:
            return dict(
                msgspec.to_builtins(
                    StackHost(
                        name=name,
                        user=user,
                        host_key=key.public,
                        instance_type=str(machine.instance_type),
                        price_per_hour=self._price,
                        expires=request.expires,
                        **found,
                    )
                )
            )

        return pulumi.Output.all(
            address=instance.public_ip,
            private_address=instance.private_ip,
            zone=instance.availability_zone,
            cpus=self._kind.apply(self._cpus),
        ).apply(record)

    def _cpus(self, kind: aws.ec2.GetInstanceTypeResult) -> int:
        return kind.default_cores if self._machine.smt is False else kind.default_vcpus

    def _cpu_options(self) -> aws.ec2.InstanceCpuOptionsArgs | None:
        """Give one thread per core where that is wanted; a type that cannot ends the preview."""
        if self._machine.smt is not False:
            return None
        return aws.ec2.InstanceCpuOptionsArgs(
            core_count=self._kind.default_cores, threads_per_core=self._kind.apply(self._one_thread)
        )

    def _one_thread(self, kind: aws.ec2.GetInstanceTypeResult) -> int:
        if 1 not in kind.valid_threads_per_cores:
            raise SpecError(
                f"{self._machine.instance_type} has no choice of threads per core at launch",
                remedy="leave smt out",
            )
        return 1

    def _market(self) -> aws.ec2.InstanceInstanceMarketOptionsArgs | None:
        machine, request = self._machine, self._request
        if machine.spot == "never" or (machine.spot == "prefer" and request.on_demand):
            return None
        return aws.ec2.InstanceInstanceMarketOptionsArgs(
            market_type="spot",
            spot_options=aws.ec2.InstanceInstanceMarketOptionsSpotOptionsArgs(
                spot_instance_type="one-time", instance_interruption_behavior="terminate"
            ),
        )

    def _interface(self) -> dict[str, Any]:
        if self._template is not None:
            return {
                "launch_template": aws.ec2.InstanceLaunchTemplateArgs(id=self._template.id, version="$Latest")
            }
        return {
            "subnet_id": self._network.subnet_id,
            "vpc_security_group_ids": [self._network.security_group_id],
            "associate_public_ip_address": True,
        }

    def _express(self, name: str) -> aws.ec2.LaunchTemplate:
        """Make the template that alone can ask for ENA Express; a type that has none ends the preview."""
        enabled = self._kind.apply(self._has_express)
        return aws.ec2.LaunchTemplate(
            name,
            name=f"benchctl-{self._request.run}-{name}",
            network_interfaces=[
                aws.ec2.LaunchTemplateNetworkInterfaceArgs(
                    device_index=0,
                    subnet_id=self._network.subnet_id,
                    security_groups=[self._network.security_group_id],
                    associate_public_ip_address="true",
                    delete_on_termination="true",
                    ena_srd_specification=aws.ec2.LaunchTemplateNetworkInterfaceEnaSrdSpecificationArgs(
                        ena_srd_enabled=enabled
                    ),
                )
            ],
            tags=self._request.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _has_express(self, kind: aws.ec2.GetInstanceTypeResult) -> bool:
        if not kind.ena_srd_supported:
            raise SpecError(
                f"{self._machine.instance_type} has no ENA Express", remedy="leave ena_express out"
            )
        return True


def _volume(disk: AwsDisk) -> aws.ec2.InstanceEbsBlockDeviceArgs:
    return aws.ec2.InstanceEbsBlockDeviceArgs(
        device_name="/dev/sdf",
        volume_type=disk.type,
        volume_size=_whole(disk.size or 0),
        iops=disk.iops,
        throughput=disk.throughput,
        encrypted=True,
        delete_on_termination=True,
    )


def _disk(disk: AwsDisk) -> Disk:
    return Disk(("model", _MODELS[disk.type == "instance-store"]), disk.mount or CACHE)


def _whole(size: int) -> int:
    return size // GIB
