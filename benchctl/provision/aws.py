"""AWS beside its stack: what can be told before anything is made, and what runs left behind there.

Everything is found by tags alone. boto3 is imported when it is needed, never before. Must not make anything.
"""

from __future__ import annotations

import importlib.util
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from benchctl.errors import SpecError, StackError, UnfitError
from benchctl.model.aws import AwsHosts
from benchctl.provision.janitor import Leftover
from benchctl.provision.prices import Offer, quote
from benchctl.provision.request import EXPIRES, OWNER, RUN
from benchctl.provision.settle import settle as await_hosts
from benchctl.spec.problems import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchctl.model.experiment import Hosts
    from benchctl.model.host import Host
    from benchctl.provision.request import Request

_PARTITIONS = ("aws", "aws-us-gov", "aws-cn")
_HOME = "us-east-1"  # whom to ask which regions there are
_GONE = {"shutting-down", "terminated"}
_NO_CAPACITY = (
    "InsufficientInstanceCapacity",
    "InsufficientHostCapacity",
    "MaxSpotInstanceCountExceeded",
    "SpotMaxPriceTooLow",
    "UnfulfillableCapacity",
    "capacity-not-available",
)
_WAIT = {"Delay": 5, "MaxAttempts": 120}


def check(hosts: Hosts) -> None:
    """Raise UnfitError without SDK or credentials, SpecError for a region or type that does not exist."""
    if not isinstance(hosts, AwsHosts):
        raise SpecError("these hosts are not on AWS")
    account = session()
    _check_region(account, hosts.region)
    _check_types(account, hosts)
    _check_credentials(account, hosts.region)


def fallback(request: Request, message: str) -> Request | None:
    """Return what to ask for after spot capacity was refused to a group that only prefers it, else None."""
    hosts = request.hosts
    if request.on_demand or not isinstance(hosts, AwsHosts):
        return None
    refused = any(word in message for word in _NO_CAPACITY)
    prefers = any(hosts.of(name).spot == "prefer" for name in hosts.groups)
    return msgspec.structs.replace(request, on_demand=True) if refused and prefers else None


def settle(
    run: str, hosts: Hosts, made: Sequence[Host], expires: float, cancelled: Callable[[], bool]
) -> None:
    """Wait for hosts that were made, and set their time; raises StackError with a silent host's console."""
    region = hosts.region if isinstance(hosts, AwsHosts) else _HOME
    await_hosts(made, expires, console=lambda name: _console(region, run, name), cancelled=cancelled)


def leftovers(run: str | None, hosts: Hosts | None) -> Sequence[Leftover]:
    """Return what carries a run's tags, in the order in which it can go; in all regions without `hosts`.

    Raises UnfitError without credentials.
    """
    account = session()
    home = hosts.region if isinstance(hosts, AwsHosts) else account.region_name or _HOME
    _check_credentials(account, home)
    wanted = [home] if isinstance(hosts, AwsHosts) else regions(account, home)
    return [leftover for region in wanted for leftover in _tagged(account, region, run)]


def regions(account: Any, home: str) -> list[str]:  # noqa: ANN401 - boto3 has no types
    """Return the regions that are enabled in this account."""
    with _words("regions", home):
        found = account.client("ec2", home).describe_regions()["Regions"]
    return [region["RegionName"] for region in found]


def remove(leftover: Leftover) -> None:
    """Remove one thing; nothing happens when it is gone. Raises StackError with EC2's words."""
    from botocore.exceptions import ClientError

    ec2 = client(session(), leftover.zone)
    try:
        KINDS[leftover.kind].remove(ec2, leftover.name)
    except ClientError as error:
        if ".NotFound" in error.response["Error"]["Code"] or ".Unknown" in error.response["Error"]["Code"]:
            return
        raise StackError(
            f"{leftover.zone}: the {leftover.kind} {leftover.name} of {leftover.run} stays: {error}",
            remedy="give the permissions of stacks/aws/policy.json, or remove it in the console",
        ) from error


@cache
def session() -> Any:  # noqa: ANN401
    """Return boto3's session with whatever credentials there are. Raises UnfitError without the extra."""
    missing = [name for name in ("boto3", "pulumi", "pulumi_aws") if importlib.util.find_spec(name) is None]
    if missing:
        raise UnfitError(
            f"provider aws needs {', '.join(missing)}, not installed here",
            remedy="pip install 'benchctl[aws]'",
        )
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        return boto3.Session()
    except BotoCoreError as error:  # a profile that is not there
        raise UnfitError(f"AWS: {error}", remedy="set AWS_PROFILE to one of ~/.aws/config") from error


def _check_region(account: Any, region: str) -> None:  # noqa: ANN401
    known = [name for part in _PARTITIONS for name in account.get_available_regions("ec2", part)]
    if region not in known:
        raise SpecError(
            f"hosts.region: AWS has no region {region}{did_you_mean(region, known)}",
            remedy="take one of its regions; for a new one: pip install -U boto3",
        )


def _check_types(account: Any, hosts: AwsHosts) -> None:  # noqa: ANN401
    known = client(account, hosts.region).meta.service_model.shape_for("InstanceType").enum
    for name in hosts.groups:
        kind = hosts.of(name).instance_type
        if kind not in known:
            raise SpecError(
                f"hosts.groups.{name}: EC2 has no instance type {kind}{did_you_mean(str(kind), known)}",
                remedy="take one of its types; for a new one: pip install -U boto3",
            )


def _check_credentials(account: Any, region: str) -> None:  # noqa: ANN401
    from botocore.exceptions import BotoCoreError, ClientError

    remedy = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws sso login`"
    try:
        if account.get_credentials() is None:
            raise UnfitError("there are no credentials for AWS", remedy=remedy)
        account.client("sts", region).get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        raise UnfitError(f"AWS takes no credentials from here: {error}", remedy=remedy) from error


def _console(region: str, run: str, name: str) -> str:
    """Return what a host's console has said so far."""
    ec2 = client(session(), region)
    mine = [{"Name": "tag:Name", "Values": [f"{run} {name}"]}]
    with _words("console", region):
        for reservation in ec2.describe_instances(Filters=mine)["Reservations"]:
            for instance in reservation["Instances"]:
                found = ec2.get_console_output(InstanceId=instance["InstanceId"], Latest=False)
                return str(found.get("Output", ""))
    return ""


@contextmanager
def _words(what: str, region: str) -> Iterator[None]:
    """Turn EC2's refusals into an error that names the region and the permissions' file."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise UnfitError(
            f"{region}: EC2 does not say its {what}: {error}",
            remedy="give the permissions of stacks/aws/policy.json",
        ) from error


def _tagged(account: Any, region: str, run: str | None) -> Iterator[Leftover]:  # noqa: ANN401
    ec2 = client(account, region)
    with _words("resources by tag", region):
        for kind in _kinds(ec2):
            for found in _described(ec2, KINDS[kind]):
                tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", ())}
                gone = kind == "instance" and found["State"]["Name"] in _GONE
                if gone or RUN not in tags or run not in {None, tags[RUN]}:
                    continue
                yield Leftover(
                    provider="aws",
                    kind=kind,
                    name=found[KINDS[kind].name],
                    run=tags[RUN],
                    owner=tags.get(OWNER, ""),
                    expires=float(tags[EXPIRES]) if tags.get(EXPIRES, "").isdecimal() else 0.0,
                    zone=region,
                    price_per_hour=_price(kind, found, region),
                )


def _price(kind: str, found: dict[str, Any], region: str) -> float | None:
    """Return USD per hour; None where it is not known: volumes cost by size and IOPS."""
    if kind != "instance":
        return None if kind == "volume" else 0.0
    place = found.get("Placement", {})
    spot = found.get("InstanceLifecycle") == "spot"
    dedicated = place.get("Tenancy") == "dedicated"
    zone = place.get("AvailabilityZone") if spot else None
    return quote(Offer("aws", region, found["InstanceType"], spot, dedicated, zone)).per_hour


def _kinds(ec2: Any) -> list[str]:  # noqa: ANN401
    """Return the kinds of which there are tagged ones, in the order in which they can go; one question."""
    pages = ec2.get_paginator("describe_tags").paginate(Filters=[{"Name": "key", "Values": [RUN]}])
    tagged = {tag["ResourceType"] for page in pages for tag in page["Tags"]}
    return [kind for kind in KINDS if kind in tagged]


def _described(ec2: Any, kind: Kind) -> Iterator[dict[str, Any]]:  # noqa: ANN401
    """Yield what EC2 has of a kind; what is gone keeps its tags for a while, so tags alone do not tell."""
    wanted = [{"Name": "tag-key", "Values": [RUN]}]
    pages = (
        ec2.get_paginator(kind.operation).paginate(Filters=wanted)
        if ec2.can_paginate(kind.operation)
        else [getattr(ec2, kind.operation)(Filters=wanted)]
    )
    for page in pages:
        for found in page[kind.answer]:
            yield from found["Instances"] if kind.answer == "Reservations" else (found,)


@cache
def client(account: Any, region: str) -> Any:  # noqa: ANN401
    """Return the client of a region; one takes a second to make."""
    return account.client("ec2", region)


def _terminate(ec2: Any, name: str) -> None:  # noqa: ANN401
    ec2.terminate_instances(InstanceIds=[name])
    ec2.get_waiter("instance_terminated").wait(InstanceIds=[name], WaiterConfig=_WAIT)


def _route_table(ec2: Any, name: str) -> None:  # noqa: ANN401
    for table in ec2.describe_route_tables(RouteTableIds=[name])["RouteTables"]:
        for association in table["Associations"]:
            if not association.get("Main"):
                ec2.disassociate_route_table(AssociationId=association["RouteTableAssociationId"])
    ec2.delete_route_table(RouteTableId=name)


def _gateway(ec2: Any, name: str) -> None:  # noqa: ANN401
    for gateway in ec2.describe_internet_gateways(InternetGatewayIds=[name])["InternetGateways"]:
        for attachment in gateway["Attachments"]:
            ec2.detach_internet_gateway(InternetGatewayId=name, VpcId=attachment["VpcId"])
    ec2.delete_internet_gateway(InternetGatewayId=name)


class Kind(NamedTuple):
    """One of EC2's resource types: how it is looked up, what its id is called, how one goes away."""

    operation: str
    answer: str
    name: str
    remove: Callable[[Any, str], Any]


# In the order in which they can go.
KINDS = {
    "instance": Kind("describe_instances", "Reservations", "InstanceId", _terminate),
    "volume": Kind(
        "describe_volumes", "Volumes", "VolumeId", lambda ec2, name: ec2.delete_volume(VolumeId=name)
    ),
    "launch-template": Kind(
        "describe_launch_templates",
        "LaunchTemplates",
        "LaunchTemplateId",
        lambda ec2, name: ec2.delete_launch_template(LaunchTemplateId=name),
    ),
    "key-pair": Kind(
        "describe_key_pairs", "KeyPairs", "KeyName", lambda ec2, name: ec2.delete_key_pair(KeyName=name)
    ),
    "placement-group": Kind(
        "describe_placement_groups",
        "PlacementGroups",
        "GroupName",
        lambda ec2, name: ec2.delete_placement_group(GroupName=name),
    ),
    "security-group": Kind(
        "describe_security_groups",
        "SecurityGroups",
        "GroupId",
        lambda ec2, name: ec2.delete_security_group(GroupId=name),
    ),
    "route-table": Kind("describe_route_tables", "RouteTables", "RouteTableId", _route_table),
    "subnet": Kind(
        "describe_subnets", "Subnets", "SubnetId", lambda ec2, name: ec2.delete_subnet(SubnetId=name)
    ),
    "internet-gateway": Kind("describe_internet_gateways", "InternetGateways", "InternetGatewayId", _gateway),
    "vpc": Kind("describe_vpcs", "Vpcs", "VpcId", lambda ec2, name: ec2.delete_vpc(VpcId=name)),
}
