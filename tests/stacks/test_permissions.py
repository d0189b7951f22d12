"""The permissions that the stacks ask for are those of the resource types in use, and no more."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

import boto3
import pytest

from benchctl.provision import aws
from tests.stacks.mocks import STACKS

# Resource type of the stack -> what making it, changing its tags and taking it away asks of EC2.
EC2 = {
    "Instance": "RunInstances DescribeInstances DescribeInstanceAttribute DescribeVolumes"
    " DescribeInstanceCreditSpecifications"
    " ModifyInstanceAttribute TerminateInstances DescribeNetworkInterfaces GetConsoleOutput",
    "InternetGateway": "CreateInternetGateway AttachInternetGateway DescribeInternetGateways"
    " DetachInternetGateway DeleteInternetGateway",
    "KeyPair": "ImportKeyPair DescribeKeyPairs DeleteKeyPair",
    "LaunchTemplate": "CreateLaunchTemplate DescribeLaunchTemplates DescribeLaunchTemplateVersions"
    " DeleteLaunchTemplate",
    "PlacementGroup": "CreatePlacementGroup DescribePlacementGroups DeletePlacementGroup",
    "RouteTable": "CreateRouteTable CreateRoute DescribeRouteTables DeleteRoute DeleteRouteTable",
    "RouteTableAssociation": "AssociateRouteTable DisassociateRouteTable",
    "SecurityGroup": "CreateSecurityGroup AuthorizeSecurityGroupIngress AuthorizeSecurityGroupEgress"
    " DescribeSecurityGroups DescribeSecurityGroupRules RevokeSecurityGroupIngress"
    " RevokeSecurityGroupEgress DeleteSecurityGroup",
    "Subnet": "CreateSubnet DescribeSubnets DeleteSubnet",
    "Vpc": "CreateVpc DescribeVpcs DescribeVpcAttribute ModifyVpcAttribute DescribeNetworkAcls DeleteVpc",
}
ASKED = {
    "get_ami_output": "DescribeImages",
    "get_instance_type_output": "DescribeInstanceTypes",
    "get_instance_type_offerings_output": "DescribeInstanceTypeOfferings",
}
ALWAYS = (  # tags, the janitor, volumes that were left, prices
    "CreateTags DescribeTags DescribeRegions DeleteVolume DescribeSpotPriceHistory"
)

AZURE = {
    "authorization.RoleAssignment": "Microsoft.Authorization/roleAssignments",
    "compute.DedicatedHost": "Microsoft.Compute/hostGroups/hosts",
    "compute.DedicatedHostGroup": "Microsoft.Compute/hostGroups",
    "compute.Disk": "Microsoft.Compute/disks",
    "compute.ProximityPlacementGroup": "Microsoft.Compute/proximityPlacementGroups",
    "compute.VirtualMachine": "Microsoft.Compute/virtualMachines",
    "network.NetworkInterface": "Microsoft.Network/networkInterfaces",
    "network.NetworkSecurityGroup": "Microsoft.Network/networkSecurityGroups",
    "network.PublicIPAddress": "Microsoft.Network/publicIPAddresses",
    "network.Subnet": "Microsoft.Network/virtualNetworks/subnets",
    "network.VirtualNetwork": "Microsoft.Network/virtualNetworks",
    "resources.ResourceGroup": "Microsoft.Resources/subscriptions/resourceGroups",
}
JOINED = ("networkInterfaces", "networkSecurityGroups", "publicIPAddresses", "subnets")
AZURE_ALWAYS = {
    "Microsoft.Compute/locations/operations/read",
    "Microsoft.Compute/skus/read",
    "Microsoft.Compute/virtualMachines/retrieveBootDiagnosticsData/action",
    "Microsoft.Network/locations/operations/read",
    "Microsoft.Resources/subscriptions/locations/read",
}


def calls(provider: str) -> set[str]:
    """Return what the stack's modules call, as written: aws.ec2.Vpc, network.Subnet."""
    found = set()
    for path in (STACKS / provider / f"bench_{provider}").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                found.add(ast.unparse(node.func))
    return found


def statements() -> list[dict[str, Any]]:
    policy = json.loads((STACKS / "aws" / "policy.json").read_text("utf-8"))
    found: list[dict[str, Any]] = policy["Statement"]
    return found


def allowed() -> set[str]:
    every = [one["Action"] for one in statements()]
    return {action for actions in every for action in ([actions] if isinstance(actions, str) else actions)}


def test_the_policy_of_aws_is_what_the_stack_and_the_janitor_ask_for() -> None:
    made = {call.removeprefix("aws.ec2.") for call in calls("aws") if re.fullmatch(r"aws\.ec2\.\w+", call)}
    resources = {name for name in made if name[0].isupper() and not name.endswith("Args")}
    assert resources == set(EC2)
    asked = {name for name in made if name.startswith("get_")}
    assert asked == set(ASKED)
    wanted = " ".join([*EC2.values(), *ASKED.values(), ALWAYS]).split()
    others = {"sts:GetCallerIdentity", "iam:CreateServiceLinkedRole", "pricing:GetProducts"}
    assert allowed() == {f"ec2:{action}" for action in wanted} | others
    assert {kind.replace("-", "") for kind in aws.KINDS} == {
        name.lower() for name in EC2 if name != "RouteTableAssociation"
    } | {"volume"}


def test_the_policy_uses_names_that_ec2_has() -> None:
    client = boto3.client("ec2", "eu-central-1", aws_access_key_id="-", aws_secret_access_key="-")  # noqa: S106
    known = set(client.meta.service_model.operation_names)
    assert {action.removeprefix("ec2:") for action in allowed() if action.startswith("ec2:")} <= known


def test_what_changes_or_removes_is_bound_to_the_tags_of_runs() -> None:
    for one in statements():
        actions = [one["Action"]] if isinstance(one["Action"], str) else one["Action"]
        if not all(re.match(r"(ec2:(Describe|Get)|pricing:Get|sts:)", action) for action in actions):
            unbound = one["Sid"] == "StartThemFromImages"
            assert unbound or "Condition" in one, one["Sid"]


def test_the_role_of_azure_is_what_the_stack_and_the_janitor_ask_for() -> None:
    made = {call for call in calls("azure") if re.fullmatch(r"[a-z]+\.[A-Z]\w+", call)}
    resources = {call for call in made if not call.endswith("Args") and call.split(".")[0] != "pulumi"}
    assert resources == set(AZURE)
    wanted = {f"{kind}/{act}" for kind in AZURE.values() for act in ("read", "write", "delete")}
    wanted |= {f"{kind}/join/action" for kind in AZURE.values() if kind.endswith(JOINED)}
    role = json.loads((STACKS / "azure" / "role.json").read_text("utf-8"))
    assert set(role["Actions"]) == wanted | AZURE_ALWAYS
    assert len(role["Actions"]) == len(set(role["Actions"]))
    assert not role["DataActions"]


@pytest.mark.parametrize("provider", ["aws", "azure"])
def test_files_are_small_enough_for_the_cloud(provider: str) -> None:
    name = {"aws": "policy.json", "azure": "role.json"}[provider]
    text = json.dumps(json.loads((STACKS / provider / name).read_text("utf-8")), separators=(",", ":"))
    assert len(text) <= 6144  # characters of a managed policy of AWS, white space apart
