"""What is asked of AWS beside the engine, answered by Moto: wrong wishes, credentials, leftovers by tag."""

from __future__ import annotations

import io
import urllib.error
from typing import TYPE_CHECKING, Any

import boto3
import msgspec
import pytest
from moto import mock_aws

from benchctl.errors import SpecError, StackError, UnfitError
from benchctl.provision import aws, caller
from tests.stacks.ec2 import REGION
from tests.stacks.mocks import request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchctl.model.experiment import Hosts

PLAIN = f"{{provider: aws, region: {REGION}, instance_type: c7i.large}}"
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
CHANGES = [
    (("eu-central-1", "eu-central-11"), r"no region eu-central-11 .*did you mean 'eu-central-1'"),
    (("c7i.large", "c7i.larg"), r"hosts.groups.dbms: EC2 has no instance type c7i.larg .*did you mean"),
]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name in CREDENTIALS:
        monkeypatch.setenv(name, "test")
    forget()
    with mock_aws():
        yield
    forget()


def forget() -> None:
    """Forget sessions and clients: the next ones have the credentials of now."""
    aws.session.cache_clear()
    aws.client.cache_clear()


def hosts_of(text: str = PLAIN) -> Hosts:
    return request(text).hosts


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_what_does_not_exist_is_refused(change: tuple[str, str], message: str) -> None:
    aws.check(hosts_of())
    with pytest.raises(SpecError, match=message):
        aws.check(hosts_of(PLAIN.replace(*change)))


@pytest.mark.usefixtures("account")
def test_missing_credentials_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*CREDENTIALS, "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    forget()
    with pytest.raises(UnfitError, match=r"no credentials for AWS.*\n.*AWS_PROFILE"):
        aws.check(hosts_of())
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    forget()
    with pytest.raises(UnfitError, match="nobody"):
        aws.leftovers(None, None)


def test_a_missing_sdk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    forget()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "pulumi_aws" else name)
    with pytest.raises(UnfitError, match=r"pulumi_aws.*\n.*pip install 'benchctl\[aws\]'"):
        aws.check(hosts_of())


@pytest.mark.usefixtures("account")
def test_leftovers_are_found_in_every_region_and_priced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    prices = tmp_path / "prices.yml"
    prices.write_text("aws: {c7i.large: 0.1}\n")
    monkeypatch.setenv("BENCHCTL_PRICES", str(prices))
    monkeypatch.setattr(aws, "regions", lambda _session, _home: ["us-west-2", REGION])
    asked = request(PLAIN)
    made = [make_instance(region, asked.tags) for region in ("us-west-2", REGION)]
    make_instance(REGION, {"other": "tag"})
    found = [one for one in aws.leftovers(None, None) if one.kind == "instance"]
    assert [one.name for one in found] == made
    assert {(one.owner, one.expires, one.price_per_hour) for one in found} == {("me@here", 2e9, 0.1)}
    assert [one.zone for one in aws.leftovers(asked.run, hosts_of())] == [REGION] * 2  # with its volume
    for one in aws.leftovers(asked.run, None):
        aws.remove(one)
    assert not aws.leftovers(None, None)
    boto3.client("ec2", REGION).describe_instances(InstanceIds=[made[1]])


def make_instance(region: str, tags: dict[str, str]) -> str:
    ec2 = boto3.client("ec2", region)
    image = ec2.describe_images(Owners=["099720109477"])["Images"][0]["ImageId"]
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    kinds = [{"ResourceType": kind, "Tags": listed} for kind in ("instance", "volume")]
    (made,) = ec2.run_instances(
        ImageId=image, InstanceType="c7i.large", MinCount=1, MaxCount=1, TagSpecifications=kinds
    )["Instances"]
    return str(made["InstanceId"])


@pytest.mark.usefixtures("account")
def test_what_cannot_be_removed_is_named() -> None:
    ec2 = boto3.client("ec2", REGION)
    tags = [{"Key": key, "Value": value} for key, value in request(PLAIN).tags.items()]
    vpc = ec2.create_vpc(CidrBlock="10.98.0.0/24", TagSpecifications=[{"ResourceType": "vpc", "Tags": tags}])[
        "Vpc"
    ]["VpcId"]
    ec2.create_subnet(VpcId=vpc, CidrBlock="10.98.0.0/24")
    (found,) = aws.leftovers(None, hosts_of())
    with pytest.raises(StackError, match=f"vpc {vpc} of .* stays: .*DependencyViolation"):
        aws.remove(found)


def test_refused_spot_falls_back_where_it_may() -> None:
    prefers = request(PLAIN.replace("}", ", spot: prefer}"))
    other = aws.fallback(prefers, "api error InsufficientInstanceCapacity: none")
    assert other == msgspec.structs.replace(prefers, on_demand=True)
    assert aws.fallback(other, "InsufficientInstanceCapacity") is None
    assert aws.fallback(prefers, "UnauthorizedOperation") is None
    assert aws.fallback(request(PLAIN), "InsufficientInstanceCapacity") is None


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(b"203.0.113.7\n", "203.0.113.7/32"), (b"<html>sign in</html>", None), (b"2001:db8::1\n", None)],
)
def test_the_address_outside(answer: bytes, expected: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.urlopen", lambda _url, **_: io.BytesIO(answer))
    if expected is not None:
        assert caller.address() == expected
        return
    with pytest.raises(UnfitError, match=r"hosts\.ssh_from"):
        caller.address()


def test_no_network_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_url: str, **_: Any) -> None:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(UnfitError, match="no route"):
        caller.address()
