"""What a region offers: zones, what a type of machine has, images. Asks only; makes nothing."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import pulumi
import pulumi_aws as aws

from benchctl.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchctl.model.aws import AwsGroup, AwsHosts, AwsImage

_ARCHITECTURES = {"x86_64": "amd64", "arm64": "arm64"}  # as EC2 has them -> as Debian and Ubuntu name images


class Offers:
    """Asks the provider, each thing once; what is not offered ends the preview, before anything is made."""

    def __init__(self, hosts: AwsHosts, provider: aws.Provider) -> None:
        """Take what is wanted and whom to ask."""
        self._hosts = hosts
        self._invoke = pulumi.InvokeOutputOptions(provider=provider)
        self._machines = {name: hosts.of(name) for name in hosts.groups}

    @cached_property
    def types(self) -> dict[str, pulumi.Output[aws.ec2.GetInstanceTypeResult]]:
        """What is known of each type in use."""
        names = sorted({str(machine.instance_type) for machine in self._machines.values()})
        return {name: aws.ec2.get_instance_type_output(name, opts=self._invoke) for name in names}

    def zone(self) -> pulumi.Output[str]:
        """Return the first zone that offers every type."""
        found = aws.ec2.get_instance_type_offerings_output(
            filters=[
                aws.ec2.GetInstanceTypeOfferingsFilterArgs(name="instance-type", values=sorted(self.types))
            ],
            location_type="availability-zone",
            opts=self._invoke,
        )
        return pulumi.Output.all(found.locations, found.instance_types).apply(lambda both: self._first(*both))

    def _first(self, zones: Sequence[str], types: Sequence[str]) -> str:
        offers: dict[str, set[str]] = {}
        for zone, kind in zip(zones, types, strict=True):
            offers.setdefault(zone, set()).add(kind)
        fit = sorted(zone for zone, kinds in offers.items() if kinds >= set(self.types))
        if not fit:
            found = "; ".join(f"{zone}: {', '.join(sorted(kinds))}" for zone, kinds in sorted(offers.items()))
            raise SpecError(
                f"no zone of {self._hosts.region} offers all of {', '.join(self.types)} ({found or 'none'})",
                remedy="choose another region or other types",
            )
        return fit[0]

    def image(self, machine: AwsGroup) -> pulumi.Output[str]:
        """Return the id of the newest image of the owner whose name matches, for the machine's processor."""
        if machine.image is None:
            raise SpecError("a host group has no image")
        wanted = machine.image
        kind = self.types[str(machine.instance_type)]
        return aws.ec2.get_ami_output(
            owners=[wanted.owner],
            most_recent=True,
            filters=kind.supported_architectures.apply(lambda known: _filters(wanted, known)),
            opts=self._invoke,
        ).id

    def strategy(self) -> pulumi.Output[str]:
        """Return the placement strategy `cluster` after every type has said that it can be placed so."""
        kinds = self.types
        return pulumi.Output.all(
            **{name: kind.supported_placement_strategies for name, kind in kinds.items()}
        ).apply(_clustered)


def _clustered(strategies: dict[str, Sequence[str]]) -> str:
    alone = [name for name, known in strategies.items() if "cluster" not in known]
    if alone:
        raise SpecError(
            f"{', '.join(alone)}: cannot be placed in a cluster",
            remedy="hosts.placement: none, or other types",
        )
    return "cluster"


def _filters(image: AwsImage, architectures: Sequence[str]) -> list[aws.ec2.GetAmiFilterArgs]:
    architecture = next(name for name in _ARCHITECTURES if name in architectures)
    wanted = {
        "name": image.name.replace("{arch}", _ARCHITECTURES[architecture]),
        "architecture": architecture,
        "state": "available",
    }
    return [aws.ec2.GetAmiFilterArgs(name=name, values=[value]) for name, value in wanted.items()]
