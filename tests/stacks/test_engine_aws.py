"""The stack of AWS through the real engine, against a stand-in before Moto: made, changed, taken away."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from click.testing import CliRunner

from benchctl.cli.main import cli
from benchctl.errors import BenchctlError, EngineError, StackError
from benchctl.provision import aws
from benchctl.provision.engine import find_engine
from benchctl.provision.place import STATE_URL
from benchctl.provision.request import EXPIRES, RUN
from tests.needs import engine_root
from tests.stacks.conftest import CREATES, FORGOTTEN, LATER, NAME, SETTLED, SMALL, listing, provisioner
from tests.stacks.mocks import request
from tests.stacks.s3 import s3
from tests.stacks.standin import Failure, StandIn

if TYPE_CHECKING:
    from benchctl.model.host import Host

INSTANCES = (9, 10)  # the last of what is made

pytestmark = [pytest.mark.slow, FORGOTTEN]


def ids(on_aws: StandIn) -> dict[str, str]:
    """Map each host's name to its instance."""
    cloud: Any = on_aws.cloud
    tagged = [(found, {tag["Key"]: tag["Value"] for tag in found["Tags"]}) for found in cloud.instances()]
    assert {tags[RUN] for _, tags in tagged} <= {NAME}
    return {tags["Name"].split()[-1]: found["InstanceId"] for found, tags in tagged}


def test_hosts_from_preview_to_the_end(on_aws: StandIn, tmp_path: Path) -> None:
    before = listing(on_aws)
    stack = provisioner(tmp_path)
    expires = time.time() + LATER
    assert sum(stack.preview(expires).values()) > CREATES  # provider, stack and components come along
    assert listing(on_aws) == before
    assert on_aws.creates == 0

    inventory = stack.up(expires)
    assert on_aws.creates == CREATES
    hosts: list[Host] = list(inventory.hosts)
    assert [host.name for host in hosts] == ["dbms-1", "loader-1"]
    known = (tmp_path / "runs" / NAME / "ssh" / "known_hosts").read_text("ascii")
    assert known.count("ssh-ed25519") == 2
    made = ids(on_aws)

    later = expires + LATER
    assert SETTLED[-1] == expires
    assert stack.up(later) == inventory  # a longer life changes tags, and no host
    assert SETTLED[-1] == later
    assert ids(on_aws) == made
    assert on_aws.creates == CREATES
    cloud: Any = on_aws.cloud
    tags = cloud.client.describe_tags(Filters=[{"Name": "key", "Values": [EXPIRES]}])["Tags"]
    of_instances = {tag["Value"] for tag in tags if tag["ResourceType"] == "instance"}
    assert of_instances == {str(int(later))}

    cloud.client.terminate_instances(InstanceIds=[made["loader-1"]])
    assert stack.refresh() == 1
    stack.up(later)
    assert ids(on_aws)["dbms-1"] == made["dbms-1"]
    assert ids(on_aws)["loader-1"] != made["loader-1"]

    stack.remove()
    assert listing(on_aws) == before
    stack.remove()  # safe to repeat


def test_spot_that_is_refused_is_made_on_demand(on_aws: StandIn, tmp_path: Path) -> None:
    stack = provisioner(tmp_path, SMALL.replace("loader: {}", "loader: {spot: prefer}"))
    on_aws.failure = Failure(at=INSTANCES[1], words="InsufficientInstanceCapacity: none here")
    assert len(stack.up(time.time() + LATER).hosts) == 2
    assert on_aws.creates == CREATES + 1
    stack.remove()


def test_a_capacity_error_without_a_way_round_names_the_host(on_aws: StandIn, tmp_path: Path) -> None:
    stack = provisioner(tmp_path, SMALL.replace("loader: {}", "loader: {spot: only}"))
    on_aws.failure = Failure(at=INSTANCES[1], words="InsufficientInstanceCapacity: none here")
    before = listing(on_aws)
    with pytest.raises(
        StackError, match=r"(dbms|loader)-1.*InsufficientInstanceCapacity|InsufficientInstance"
    ):
        stack.up(time.time() + LATER)
    stack.remove()
    assert listing(on_aws) == before


def test_what_a_killed_engine_left_is_found_by_its_tags(on_aws: StandIn, tmp_path: Path) -> None:
    before = listing(on_aws)
    stack = provisioner(tmp_path)
    on_aws.failure = Failure(at=INSTANCES[0], made=True, instead=kill_engine)
    with pytest.raises(BenchctlError):
        stack.up(time.time() + LATER)
    there = aws.leftovers(None, request(SMALL).hosts)
    kinds = [found.kind for found in there]
    assert kinds[0] == "instance"
    assert {"vpc", "subnet", "security-group", "key-pair", "placement-group"} <= set(kinds)
    assert {found.run for found in there} == {NAME}
    assert not aws.leftovers("another-run", None)
    assert listing(on_aws) != before
    for found in there:
        aws.remove(found)
        aws.remove(found)  # gone: nothing happens
    assert listing(on_aws) == before
    assert not aws.leftovers(NAME, request(SMALL).hosts)


def test_the_command_previews_with_prices_and_the_janitor_removes(on_aws: StandIn, tmp_path: Path) -> None:
    before = listing(on_aws)
    file = tmp_path / "small.yml"
    rest = 'dbms: {role: postgresql, version: "18"}\nworkload: {role: pgbench}\n'
    file.write_text(f"name: small\nhosts: {SMALL}\n{rest}")
    shown = CliRunner().invoke(cli, ["provision", str(file), "--preview"], catch_exceptions=False)
    assert "dbms: 1 × c7i.large, 0.25 USD/h" in shown.stdout
    assert "total: 0.50 USD/h" in shown.stdout
    asked = ["provision", str(file), "--preview", "--json"]
    told = json.loads(CliRunner().invoke(cli, asked, catch_exceptions=False).stdout)
    assert told["resources"]["create"] > CREATES
    assert (told["per_hour"], told["cost"]) == (0.5, 0.5 * told["seconds"] / 3600)
    assert [group["per_hour"] for group in told["groups"]] == [0.25, 0.25]
    assert listing(on_aws) == before

    provisioner(tmp_path).up(time.time() - 1)  # their time is over already
    listed = CliRunner().invoke(cli, ["janitor", str(file)], catch_exceptions=False)
    assert listed.stdout.count("past its expiry") == len(aws.leftovers(NAME, request(SMALL).hosts))
    assert "0.25 USD/h" in listed.stdout
    assert listing(on_aws) != before
    CliRunner().invoke(cli, ["janitor", str(file), "--remove"], catch_exceptions=False)
    assert listing(on_aws) == before


def test_the_state_may_lie_in_a_bucket(
    on_aws: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = listing(on_aws)
    bucket = boto3.client("s3", "us-east-1")
    bucket.create_bucket(Bucket="states")

    def states() -> list[str]:
        names = [found["Key"] for found in bucket.list_objects_v2(Bucket="states").get("Contents", ())]
        return [name for name in names if name.endswith(f"/stacks/bench-aws/{NAME}.json")]

    with s3() as address:
        url = f"s3://states/mine?region=us-east-1&endpoint={address}&use_path_style=true"
        monkeypatch.setenv(STATE_URL, url)
        stack = provisioner(tmp_path)
        stack.up(time.time() + LATER)
        assert states() == [f"mine/.pulumi/stacks/bench-aws/{NAME}.json"]
        provisioner(tmp_path).remove()  # by what is in the bucket
    assert states() == []
    assert listing(on_aws) == before
    assert not (tmp_path / ".benchctl" / "state").exists()


def test_a_missing_plug_in_is_named_before_anything_is_made(
    on_aws: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCHCTL_PULUMI_ROOT", str(engine_root()))
    monkeypatch.delenv("PULUMI_DEBUG_PROVIDERS")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    before = listing(on_aws)
    with pytest.raises(EngineError, match=r"no plug-in for provider aws\n.*plugin install resource aws v7\."):
        provisioner(tmp_path).up(time.time() + LATER)
    assert listing(on_aws) == before


def kill_engine() -> None:
    """Kill the engines that this process started."""
    program = str(find_engine().program).encode()
    for line in Path("/proc/self/task").glob("*/children"):
        for pid in line.read_text("ascii").split():
            if Path("/proc", pid, "cmdline").read_bytes().split(b"\0")[0] == program:
                os.kill(int(pid), signal.SIGKILL)
