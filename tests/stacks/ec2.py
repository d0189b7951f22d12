"""EC2 for the stand-in, made of Moto: what the plug-in of AWS does for the resources that the stack uses."""

from __future__ import annotations

from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

REGION = "eu-central-1"
CANONICAL = "099720109477"  # Moto knows two images of theirs
# What is counted before and after: the account's own default network comes along.
_LISTINGS = {
    "describe_vpcs": "Vpcs",
    "describe_subnets": "Subnets",
    "describe_internet_gateways": "InternetGateways",
    "describe_route_tables": "RouteTables",
    "describe_security_groups": "SecurityGroups",
    "describe_key_pairs": "KeyPairs",
    "describe_launch_templates": "LaunchTemplates",
    "describe_volumes": "Volumes",
    "describe_placement_groups": "PlacementGroups",
}


_FINE, _REFUSED = SimpleNamespace(status_code=200), SimpleNamespace(status_code=400)


class Ec2:
    """The cloud of the stand-in for package aws."""

    computed: Mapping[str, tuple[str, ...]] = MappingProxyType(
        {"aws:ec2/instance:Instance": ("publicIp", "privateIp", "availabilityZone")}
    )

    def __init__(self, client: Any) -> None:
        """Take a client of EC2 that Moto answers."""
        self.client = client
        self._placement_groups: dict[str, list[dict[str, str]]] = {}  # name -> tags; Moto has none
        events = client.meta.events
        for operation in ("Create", "Describe", "Delete"):
            handler = getattr(self, f"_{operation.lower()}_placement_groups")
            plural = "s" if operation == "Describe" else ""
            events.register(f"before-call.ec2.{operation}PlacementGroup{plural}", handler)
        events.register("after-call.ec2.DescribeTags", self._add_placement_tags)

    def listing(self) -> dict[str, int]:
        """Count everything that is there, the account's own default network too."""
        counts = {
            answer: len(getattr(self.client, operation)()[answer]) for operation, answer in _LISTINGS.items()
        }
        return {**counts, "Instances": len(self.instances())}

    def instances(self) -> list[dict[str, Any]]:
        """Return the instances that are not terminated."""
        found = self.client.describe_instances()["Reservations"]
        every = [instance for reservation in found for instance in reservation["Instances"]]
        return [instance for instance in every if instance["State"]["Name"] != "terminated"]

    def create(self, kind: str, name: str, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        maker: Callable[[dict[str, Any]], tuple[str, dict[str, Any]]] = getattr(self, f"_make_{_short(kind)}")
        made, state = maker(inputs)
        if _short(kind) not in {"keyPair", "placementGroup", "routeTableAssociation"}:
            self.tag(kind, made, inputs["tags"])
        return made, state

    def exists(self, kind: str, name: str) -> bool:
        short = _short(kind)
        if short == "instance":
            return name in {instance["InstanceId"] for instance in self.instances()}
        if short == "routeTableAssociation":
            return True
        operation, answer, key = {
            "vpc": ("describe_vpcs", "Vpcs", "VpcId"),
            "subnet": ("describe_subnets", "Subnets", "SubnetId"),
            "internetGateway": ("describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
            "routeTable": ("describe_route_tables", "RouteTables", "RouteTableId"),
            "securityGroup": ("describe_security_groups", "SecurityGroups", "GroupId"),
            "placementGroup": ("describe_placement_groups", "PlacementGroups", "GroupName"),
            "keyPair": ("describe_key_pairs", "KeyPairs", "KeyName"),
            "launchTemplate": ("describe_launch_templates", "LaunchTemplates", "LaunchTemplateId"),
        }[short]
        return name in {found[key] for found in getattr(self.client, operation)()[answer]}

    def tag(self, kind: str, name: str, tags: dict[str, str]) -> None:
        if _short(kind) in {"keyPair", "placementGroup"} or not tags:
            return
        self.client.create_tags(Resources=[name], Tags=_tags(tags))

    def delete(self, kind: str, name: str, state: dict[str, Any]) -> None:
        short = _short(kind)
        if short == "internetGateway":
            self.client.detach_internet_gateway(InternetGatewayId=name, VpcId=state["vpcId"])
        removers: dict[str, Callable[[], Any]] = {
            "vpc": lambda: self.client.delete_vpc(VpcId=name),
            "subnet": lambda: self.client.delete_subnet(SubnetId=name),
            "internetGateway": lambda: self.client.delete_internet_gateway(InternetGatewayId=name),
            "routeTable": lambda: self.client.delete_route_table(RouteTableId=name),
            "routeTableAssociation": lambda: self.client.disassociate_route_table(AssociationId=name),
            "securityGroup": lambda: self.client.delete_security_group(GroupId=name),
            "keyPair": lambda: self.client.delete_key_pair(KeyName=name),
            "placementGroup": lambda: self.client.delete_placement_group(GroupName=name),
            "launchTemplate": lambda: self.client.delete_launch_template(LaunchTemplateId=name),
            "instance": lambda: self.client.terminate_instances(InstanceIds=[name]),
        }
        removers[short]()

    def invoke(self, token: str, args: dict[str, Any]) -> dict[str, Any]:
        asker: Callable[[dict[str, Any]], dict[str, Any]] = getattr(self, f"_ask_{_short(token)}")
        return asker(args)

    def _make_vpc(self, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        return self.client.create_vpc(CidrBlock=inputs["cidrBlock"])["Vpc"]["VpcId"], {}

    def _make_subnet(self, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        made = self.client.create_subnet(
            VpcId=inputs["vpcId"],
            CidrBlock=inputs["cidrBlock"],
            AvailabilityZone=inputs["availabilityZone"],
        )
        return made["Subnet"]["SubnetId"], {}

    def _make_internetGateway(self, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:  # noqa: N802
        made = self.client.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.client.attach_internet_gateway(InternetGatewayId=made, VpcId=inputs["vpcId"])
        return made, {}

    def _make_routeTable(self, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:  # noqa: N802
        made = self.client.create_route_table(VpcId=inputs["vpcId"])["RouteTable"]["RouteTableId"]
        for route in inputs["routes"]:
            self.client.create_route(
                RouteTableId=made, DestinationCidrBlock=route["cidrBlock"], GatewayId=route["gatewayId"]
            )
        return made, {}

    def _make_routeTableAssociation(self, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:  # noqa: N802
        made = self.client.associate_route_table(
            RouteTableId=inputs["routeTableId"], SubnetId=inputs["subnetId"]
        )
        return made["AssociationId"], {}

    def _make_securityGroup(self, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:  # noqa: N802
        made = self.client.create_security_group(
            GroupName=inputs["name"], Description=inputs["description"], VpcId=inputs["vpcId"]
        )["GroupId"]
        rules = [
            {
                "IpProtocol": rule["protocol"],
                "FromPort": rule["fromPort"],
                "ToPort": rule["toPort"],
                "IpRanges": [{"CidrIp": cidr} for cidr in rule.get("cidrBlocks", ())],
                "UserIdGroupPairs": [{"GroupId": made}] if rule.get("self") else [],
            }
            for rule in inputs["ingress"]
        ]
        self.client.authorize_security_group_ingress(GroupId=made, IpPermissions=rules)
        return made, {}

    def _make_keyPair(self, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:  # noqa: N802
        self.client.import_key_pair(
            KeyName=inputs["keyName"],
            PublicKeyMaterial=inputs["publicKey"].encode(),
            TagSpecifications=[{"ResourceType": "key-pair", "Tags": _tags(inputs["tags"])}],
        )
        return inputs["keyName"], {}

    def _make_placementGroup(self, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:  # noqa: N802
        tags = [{"ResourceType": "placement-group", "Tags": _tags(inputs["tags"])}]
        self.client.create_placement_group(
            GroupName=inputs["name"], Strategy=inputs["strategy"], TagSpecifications=tags
        )
        return inputs["name"], {}

    def _make_launchTemplate(self, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:  # noqa: N802
        (interface,) = inputs["networkInterfaces"]
        data = {
            "NetworkInterfaces": [
                {"DeviceIndex": 0, "SubnetId": interface["subnetId"], "Groups": interface["securityGroups"]}
            ]
        }
        made = self.client.create_launch_template(LaunchTemplateName=inputs["name"], LaunchTemplateData=data)
        return made["LaunchTemplate"]["LaunchTemplateId"], {}

    def _make_instance(self, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        tags = [{"ResourceType": kind, "Tags": _tags(inputs["tags"])} for kind in ("instance", "volume")]
        (made,) = self.client.run_instances(
            ImageId=inputs["ami"],
            InstanceType=inputs["instanceType"],
            SubnetId=inputs["subnetId"],
            SecurityGroupIds=inputs["vpcSecurityGroupIds"],
            KeyName=inputs["keyName"],
            UserData=inputs["userData"],
            InstanceInitiatedShutdownBehavior=inputs["instanceInitiatedShutdownBehavior"],
            TagSpecifications=tags,
            MinCount=1,
            MaxCount=1,
        )["Instances"]
        return made["InstanceId"], {
            "publicIp": made.get("PublicIpAddress", "198.51.100.7"),
            "privateIp": made["PrivateIpAddress"],
            "availabilityZone": made["Placement"]["AvailabilityZone"],
        }

    def _create_placement_groups(self, params: dict[str, Any], **_: Any) -> tuple[Any, dict[str, Any]]:
        asked = params["body"]
        tags = [
            {"Key": asked[key], "Value": asked[key.replace(".Key", ".Value")]}
            for key in asked
            if key.startswith("TagSpecification.1.Tag.") and key.endswith(".Key")
        ]
        self._placement_groups[asked["GroupName"]] = tags
        return _FINE, {}

    def _describe_placement_groups(self, params: dict[str, Any], **_: Any) -> tuple[Any, dict[str, Any]]:
        found = [{"GroupName": name, "Tags": tags} for name, tags in self._placement_groups.items()]
        return _FINE, {"PlacementGroups": found}

    def _delete_placement_groups(self, params: dict[str, Any], **_: Any) -> tuple[Any, dict[str, Any]]:
        if self._placement_groups.pop(params["body"]["GroupName"], None) is None:
            return _REFUSED, {"Error": {"Code": "InvalidPlacementGroup.Unknown", "Message": "no such group"}}
        return _FINE, {}

    def _add_placement_tags(self, parsed: dict[str, Any], **_: Any) -> None:
        for name, tags in self._placement_groups.items():
            for tag in tags:
                parsed["Tags"].append({**tag, "ResourceType": "placement-group", "ResourceId": name})

    def _ask_getInstanceType(self, args: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        (found,) = self.client.describe_instance_types(InstanceTypes=[args["instanceType"]])["InstanceTypes"]
        return {
            "defaultCores": found["VCpuInfo"]["DefaultCores"],
            "defaultVcpus": found["VCpuInfo"]["DefaultVCpus"],
            "validThreadsPerCores": found["VCpuInfo"].get("ValidThreadsPerCore", []),
            "supportedArchitectures": found["ProcessorInfo"]["SupportedArchitectures"],
            "supportedPlacementStrategies": found["PlacementGroupInfo"]["SupportedStrategies"],
            "enaSrdSupported": found["NetworkInfo"].get("EnaSrdSupported", False),
        }

    def _ask_getInstanceTypeOfferings(self, args: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        found = self.client.describe_instance_type_offerings(
            LocationType=args["locationType"],
            Filters=[{"Name": one["name"], "Values": one["values"]} for one in args["filters"]],
        )["InstanceTypeOfferings"]
        return {
            "locations": [one["Location"] for one in found],
            "instanceTypes": [one["InstanceType"] for one in found],
        }

    def _ask_getAmi(self, args: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        found = self.client.describe_images(
            Owners=args["owners"],
            Filters=[{"Name": one["name"], "Values": one["values"]} for one in args["filters"]],
        )["Images"]
        return {"id": max(found, key=lambda image: image["CreationDate"])["ImageId"]}


def _short(kind: str) -> str:
    """Return instance for aws:ec2/instance:Instance, getAmi for aws:ec2/getAmi:getAmi."""
    return kind.split("/")[1].split(":", maxsplit=1)[0]


def _tags(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
