"""The program of stacks/aws under Pulumi's mocks: every resource, tag and rule; what is refused, and when."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchctl.errors import SpecError
from benchctl.model.host import Inventory
from benchctl.provision import expiry
from benchctl.provision.keys import derived_key
from benchctl.provision.outputs import read_outputs, to_inventory
from benchctl.provision.request import EXPIRES, OWNER, RUN
from tests.stacks.mocks import Recorder, Result, request, run

TYPES: dict[str, dict[str, Any]] = {
    "c7i.4xlarge": {"default_cores": 8, "default_vcpus": 16, "threads": [1, 2], "architecture": "x86_64"},
    "m7gd.metal": {"default_cores": 64, "default_vcpus": 64, "threads": [], "architecture": "arm64"},
    "m7g.large": {"default_cores": 2, "default_vcpus": 2, "threads": [1], "architecture": "arm64"},
    "f2.6xlarge": {"default_cores": 12, "default_vcpus": 24, "threads": [1, 2], "strategies": ["spread"]},
}
ZONES = {
    "eu-central-1c": {*TYPES},
    "eu-central-1a": {"c7i.4xlarge"},
    "eu-central-1b": {*TYPES} - {"m7g.large"},
}
PLAIN = """
  provider: aws
  region: eu-central-1
  instance_type: c7i.4xlarge
  groups: {dbms: {}, loader: {count: 2}}"""
TAGS = {RUN: "20261121-1015-case-3f2a", OWNER: "me@here", EXPIRES: "2000000000"}
TAGGED = {
    "aws:ec2/vpc:Vpc",
    "aws:ec2/subnet:Subnet",
    "aws:ec2/internetGateway:InternetGateway",
    "aws:ec2/routeTable:RouteTable",
    "aws:ec2/securityGroup:SecurityGroup",
    "aws:ec2/keyPair:KeyPair",
    "aws:ec2/placementGroup:PlacementGroup",
    "aws:ec2/instance:Instance",
    "aws:ec2/launchTemplate:LaunchTemplate",
}
UNTAGGED = {"aws:ec2/routeTableAssociation:RouteTableAssociation", "pulumi:providers:aws"}


def kind_of(asked: dict[str, Any]) -> dict[str, Any]:
    known = TYPES[asked["instanceType"]]
    return {
        "defaultCores": known["default_cores"],
        "defaultVcpus": known["default_vcpus"],
        "validThreadsPerCores": known["threads"],
        "supportedArchitectures": [known.get("architecture", "x86_64")],
        "supportedPlacementStrategies": known.get("strategies", ["cluster", "partition", "spread"]),
        "enaSrdSupported": asked["instanceType"] == "m7g.large",
    }


def offers_of(asked: dict[str, Any]) -> dict[str, Any]:
    wanted = asked["filters"][0]["values"]
    pairs = [(zone, kind) for zone, kinds in ZONES.items() for kind in wanted if kind in kinds]
    return {"locations": [zone for zone, _ in pairs], "instanceTypes": [kind for _, kind in pairs]}


def image_of(asked: dict[str, Any]) -> dict[str, Any]:
    architecture = {found["name"]: found["values"] for found in asked["filters"]}["architecture"][0]
    return {"id": f"ami-{architecture}"}


def make(hosts: str = PLAIN, **changes: Any) -> Result:
    recorder = Recorder(
        {
            "aws:ec2/getInstanceType:getInstanceType": kind_of,
            "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings": offers_of,
            "aws:ec2/getAmi:getAmi": image_of,
        },
        {
            "aws:ec2/instance:Instance": {
                "publicIp": "198.51.100.9",
                "privateIp": "10.98.0.9",
                "availabilityZone": "eu-central-1a",
            }
        },
    )
    try:
        return run("aws", request(hosts, **changes), recorder)
    except SpecError:
        made = {resource.type for resource in recorder.resources}
        assert "aws:ec2/instance:Instance" not in made
        raise


@pytest.fixture(scope="module")
def plain() -> Result:
    return make(prices={"dbms": 0.8})


def test_all_that_is_made_is_known_and_tagged(plain: Result) -> None:
    kinds = {made.type for made in plain.resources if not made.type.startswith("bench:")}
    assert kinds == (TAGGED | UNTAGGED) - {"aws:ec2/launchTemplate:LaunchTemplate"}
    for made in plain.resources:
        if made.type in TAGGED:
            assert {key: made.inputs["tags"][key] for key in TAGS} == TAGS, made
    for made in plain.of("aws:ec2/instance:Instance").values():
        assert {key: made.inputs["volumeTags"][key] for key in TAGS} == TAGS


def test_only_the_caller_gets_in_and_only_by_ssh(plain: Result) -> None:
    (group,) = plain.of("aws:ec2/securityGroup:SecurityGroup").values()
    ssh, inside = group.inputs["ingress"]
    assert (ssh["protocol"], ssh["fromPort"], ssh["toPort"], ssh["cidrBlocks"]) == (
        "tcp",
        22,
        22,
        ["203.0.113.7/32"],
    )
    assert inside["self"] is True
    assert not {"cidrBlocks", "ipv6CidrBlocks", "prefixListIds", "securityGroups"} & inside.keys()
    assert [rule["cidrBlocks"] for rule in group.inputs["egress"]] == [["0.0.0.0/0"]]


def test_hosts_are_alone_in_their_network(plain: Result) -> None:
    (vpc,) = plain.of("aws:ec2/vpc:Vpc").values()
    (subnet,) = plain.of("aws:ec2/subnet:Subnet").values()
    assert subnet.inputs["vpcId"] == f"{vpc.name}-id"
    assert subnet.inputs["availabilityZone"] == "eu-central-1a"  # the first that offers the type
    for made in plain.of("aws:ec2/instance:Instance").values():
        assert made.inputs["subnetId"] == f"{subnet.name}-id"
        assert made.inputs["associatePublicIpAddress"] is True


def test_each_instance_ends_itself_and_answers_only_tokens(plain: Result) -> None:
    instances = plain.of("aws:ec2/instance:Instance")
    assert sorted(instances) == ["dbms-1", "loader-1", "loader-2"]
    for name, made in instances.items():
        given = made.inputs
        assert given["instanceInitiatedShutdownBehavior"] == "terminate"
        assert given["metadataOptions"] == {
            "httpEndpoint": "enabled",
            "httpTokens": "required",
            "httpPutResponseHopLimit": 1,
        }
        assert given["placementGroup"] == "benchctl-20261121-1015-case-3f2a"
        assert given["tenancy"] == "default"
        assert given["rootBlockDevice"] == {
            "volumeType": "gp3",
            "volumeSize": 20,
            "encrypted": True,
            "deleteOnTermination": True,
        }
        assert not {"cpuOptions", "instanceMarketOptions", "iamInstanceProfile"} & given.keys()
        assert made.secret == {"userData"}
        config = json.loads(given["userData"].removeprefix("#cloud-config\n"))
        assert config["ssh_keys"]["ed25519_public"] == derived_key("seed", name).public
        files = {file["path"]: file["content"] for file in config["write_files"]}
        assert files[expiry.FILE] == "2000000000\n"
        assert files.keys() >= expiry.units().keys()
        assert ["systemctl", "enable", "--now", "benchctl-expiry.timer"] in config["runcmd"]
    keys = {derived_key("seed", name).public for name in instances}
    assert len(keys) == 3


def test_the_hosts_are_exported_by_the_contract(plain: Result, tmp_path: Any) -> None:
    groups = read_outputs(plain.exports)
    assert [host.name for host in groups["loader"]] == ["loader-1", "loader-2"]
    (host,) = groups["dbms"]
    assert (host.address, host.private_address, host.user, host.port) == (
        "198.51.100.9",
        "10.98.0.9",
        "admin",
        22,
    )
    assert (host.cpus, host.zone, host.price_per_hour, host.expires) == (16, "eu-central-1a", 0.8, 2e9)
    known = tmp_path / "known_hosts"
    inventory = to_inventory(groups, identity_file=tmp_path / "id", known_hosts=known)
    assert isinstance(inventory, Inventory)
    assert derived_key("seed", "dbms-1").public in known.read_text("ascii")
    assert plain.exports["pinned"] == {
        "zone": "eu-central-1a",
        "image.dbms": "ami-x86_64",
        "image.loader": "ami-x86_64",
    }


def test_what_is_pinned_is_not_asked_for_again() -> None:
    found = make(pinned={"zone": "eu-central-1c", "image.dbms": "ami-1", "image.loader": "ami-2"})
    assert not [token for token, _ in found.asked if "getAmi" in token or "Offerings" in token]
    assert found.of("aws:ec2/instance:Instance")["loader-2"].inputs["ami"] == "ami-2"


def test_every_option_of_a_machine() -> None:
    found = make(
        """
  provider: aws
  region: eu-central-1
  tenancy: dedicated
  ssh_from: [203.0.113.7/32]
  groups:
    dbms:
      instance_type: m7gd.metal
      image: {owner: "099720109477", name: "noble-{arch}-*", user: ubuntu}
      root_size: 50GB
      disks: [{type: instance-store}, {type: io2, size: 500GB, iops: 64000, mount: /srv/wal}]
    loader:
      instance_type: c7i.4xlarge
      smt: false
      spot: prefer
      disks: [{size: 40GB, iops: 6000, throughput: 500}]
"""
    )
    dbms = found.of("aws:ec2/instance:Instance")["dbms-1"].inputs
    loader = found.of("aws:ec2/instance:Instance")["loader-1"].inputs
    assert (dbms["tenancy"], dbms["ami"], dbms["rootBlockDevice"]["volumeSize"]) == (
        "dedicated",
        "ami-arm64",
        50,
    )
    asked = [
        args for token, args in found.asked if token.endswith("getAmi") and args["owners"] == ["099720109477"]
    ]
    assert {"name": "name", "values": ["noble-arm64-*"]} in asked[0]["filters"]
    assert dbms["ebsBlockDevices"] == [
        {
            "deviceName": "/dev/sdf",
            "volumeType": "io2",
            "volumeSize": 500,
            "iops": 64000,
            "encrypted": True,
            "deleteOnTermination": True,
        }
    ]
    commands = json.loads(dbms["userData"].removeprefix("#cloud-config\n"))["runcmd"]
    program = "/usr/local/sbin/benchctl-disk"
    assert commands[2:] == [
        [program, "ubuntu", "~/.cache/benchctl", "model", "Amazon EC2 NVMe Instance Storage"],
        [program, "ubuntu", "/srv/wal", "model", "Amazon Elastic Block Store"],
    ]
    assert loader["cpuOptions"] == {"coreCount": 8, "threadsPerCore": 1}
    assert loader["ebsBlockDevices"][0]["throughput"] == 500
    assert loader["instanceMarketOptions"] == {
        "marketType": "spot",
        "spotOptions": {"spotInstanceType": "one-time", "instanceInterruptionBehavior": "terminate"},
    }
    assert found.exports["hosts"]["loader"][0]["cpus"] == 8
    assert found.exports["hosts"]["dbms"][0]["user"] == "ubuntu"


@pytest.mark.parametrize(("spot", "market"), [("prefer", False), ("only", True)])
def test_refused_spot_falls_back_only_where_it_may(spot: str, market: bool) -> None:  # noqa: FBT001
    hosts = f"{{provider: aws, region: eu-central-1, instance_type: c7i.4xlarge, spot: {spot}}}"
    found = make(hosts, on_demand=True)
    given = found.of("aws:ec2/instance:Instance")["dbms-1"].inputs
    assert ("instanceMarketOptions" in given) is market


def test_ena_express_comes_by_a_template() -> None:
    found = make("{provider: aws, region: eu-central-1, instance_type: m7g.large, ena_express: true}")
    template = found.of("aws:ec2/launchTemplate:LaunchTemplate")["dbms"].inputs
    (interface,) = template["networkInterfaces"]
    assert interface["enaSrdSpecification"] == {"enaSrdEnabled": True}
    assert (interface["subnetId"], interface["securityGroups"]) == ("network-id", ["network-id"])
    assert {key: template["tags"][key] for key in TAGS} == TAGS
    given = found.of("aws:ec2/instance:Instance")["dbms-1"].inputs
    assert given["launchTemplate"] == {"id": "dbms-id", "version": "$Latest"}
    assert not {"subnetId", "vpcSecurityGroupIds", "associatePublicIpAddress"} & given.keys()


def test_without_placement_there_is_no_placement_group() -> None:
    found = make("{provider: aws, region: eu-central-1, placement: none, instance_type: f2.6xlarge}")
    assert not found.of("aws:ec2/placementGroup:PlacementGroup")
    assert "placementGroup" not in found.of("aws:ec2/instance:Instance")["dbms-1"].inputs


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        ("instance_type: f2.6xlarge", "f2.6xlarge: cannot be placed in a cluster"),
        ("instance_type: c7i.4xlarge, ena_express: true", "c7i.4xlarge has no ENA Express"),
        ("instance_type: m7gd.metal, groups: {dbms: {instance_type: m9x.large}}", "no zone of eu-central-1"),
    ],
)
def test_what_is_not_offered_is_refused_before_a_host_is_made(hosts: str, message: str) -> None:
    ZONES["eu-central-1d"] = {"m9x.large"}
    TYPES["m9x.large"] = TYPES["c7i.4xlarge"]
    with pytest.raises(SpecError, match=message):
        make(f"{{provider: aws, region: eu-central-1, {hosts}}}")


def test_hosts_of_another_provider_are_refused() -> None:
    with pytest.raises(SpecError, match="makes hosts on AWS"):
        make("{provider: local}")
