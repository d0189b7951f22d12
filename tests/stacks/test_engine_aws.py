"""The stack of AWS through the real engine, against a stand-in before Moto: made, broken, taken away."""

from __future__ import annotations

import gc
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from click.testing import CliRunner
from moto import mock_aws

from benchctl.cli.main import cli
from benchctl.errors import BenchctlError, EngineError, StackError
from benchctl.provision import aws
from benchctl.provision.engine import find_engine
from benchctl.provision.place import Place
from benchctl.provision.request import EXPIRES, RUN
from benchctl.provision.stack import StackProvisioner
from tests.needs import engine_root
from tests.stacks.ec2 import CANONICAL, REGION, Ec2
from tests.stacks.mocks import request
from tests.stacks.standin import Failure, StandIn, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchctl.model.host import Host

NAME = "20261121-1015-case-3f2a"
LATER = 3600.0
SETTLED: list[float] = []  # the times that hosts were told, which these here never answer to
SMALL = f"""
  provider: aws
  region: {REGION}
  instance_type: c7i.large
  ssh_from: [203.0.113.7/32]
  image: {{owner: "{CANONICAL}", name: "ubuntu/images/*", user: ubuntu}}
  groups: {{dbms: {{}}, loader: {{}}}}"""
CREATES = 10  # of the small stack, its provider apart; the first test holds this to what happens
INSTANCES = (9, 10)  # the last of them

pytestmark = [
    pytest.mark.slow,
    # Pulumi's Automation API leaves its event loop open when an engine fails.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    engine_root()
    monkeypatch.setattr(aws, "settle", lambda *given: SETTLED.append(given[-2]))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        client = boto3.client("ec2", REGION)
        aws.session.cache_clear()  # the next one has the credentials of now
        monkeypatch.setattr(aws, "client", lambda _account, _region: client)
        found = StandIn("aws", "7.51.1", Ec2(client))
        with serving(found) as port:
            monkeypatch.setenv("PULUMI_DEBUG_PROVIDERS", f"aws:{port}")
            yield found
    gc.collect()  # what Pulumi left goes now, not in another test


def provisioner(folder: Path, hosts: str = SMALL) -> StackProvisioner:
    run = folder / "runs" / NAME
    run.mkdir(parents=True, exist_ok=True)
    return StackProvisioner(Place(folder, run), request(hosts).hosts)


def listing(stand_in: StandIn) -> dict[str, int]:
    cloud: Any = stand_in.cloud
    counts: dict[str, int] = cloud.listing()
    return counts


def ids(stand_in: StandIn) -> dict[str, str]:
    """Map each host's name to its instance."""
    cloud: Any = stand_in.cloud
    tagged = [(found, {tag["Key"]: tag["Value"] for tag in found["Tags"]}) for found in cloud.instances()]
    assert {tags[RUN] for _, tags in tagged} <= {NAME}
    return {tags["Name"].split()[-1]: found["InstanceId"] for found, tags in tagged}


def test_hosts_from_preview_to_the_end(stand_in: StandIn, tmp_path: Path) -> None:
    before = listing(stand_in)
    stack = provisioner(tmp_path)
    expires = time.time() + LATER
    assert sum(stack.preview(expires).values()) > CREATES  # provider, stack and components come along
    assert listing(stand_in) == before
    assert stand_in.creates == 0

    inventory = stack.up(expires)
    assert stand_in.creates == CREATES
    hosts: list[Host] = list(inventory.hosts)
    assert [host.name for host in hosts] == ["dbms-1", "loader-1"]
    known = (tmp_path / "runs" / NAME / "ssh" / "known_hosts").read_text("ascii")
    assert known.count("ssh-ed25519") == 2
    made = ids(stand_in)

    later = expires + LATER
    assert SETTLED[-1] == expires
    assert stack.up(later) == inventory  # a longer life changes tags, and no host
    assert SETTLED[-1] == later
    assert ids(stand_in) == made
    assert stand_in.creates == CREATES
    cloud: Any = stand_in.cloud
    tags = cloud.client.describe_tags(Filters=[{"Name": "key", "Values": [EXPIRES]}])["Tags"]
    of_instances = {tag["Value"] for tag in tags if tag["ResourceType"] == "instance"}
    assert of_instances == {str(int(later))}

    cloud.client.terminate_instances(InstanceIds=[made["loader-1"]])
    assert stack.refresh() == 1
    stack.up(later)
    assert ids(stand_in)["dbms-1"] == made["dbms-1"]
    assert ids(stand_in)["loader-1"] != made["loader-1"]

    stack.remove()
    assert listing(stand_in) == before
    stack.remove()  # safe to repeat


@pytest.mark.parametrize("made", [False, True], ids=["refused", "answer-lost"])
@pytest.mark.parametrize("at", range(1, CREATES + 1))
def test_a_failure_at_any_create_leaves_nothing(
    stand_in: StandIn, tmp_path: Path, at: int, *, made: bool
) -> None:
    before = listing(stand_in)
    stack = provisioner(tmp_path)
    stand_in.failure = Failure(at=at, made=made)
    with pytest.raises(StackError, match="told to fail"):
        stack.up(time.time() + LATER)
    stack.remove()
    assert listing(stand_in) == before


def test_spot_that_is_refused_is_made_on_demand(stand_in: StandIn, tmp_path: Path) -> None:
    stack = provisioner(tmp_path, SMALL.replace("loader: {}", "loader: {spot: prefer}"))
    stand_in.failure = Failure(at=INSTANCES[1], words="InsufficientInstanceCapacity: none here")
    assert len(stack.up(time.time() + LATER).hosts) == 2
    assert stand_in.creates == CREATES + 1
    stack.remove()


def test_a_capacity_error_without_a_way_round_names_the_host(stand_in: StandIn, tmp_path: Path) -> None:
    stack = provisioner(tmp_path, SMALL.replace("loader: {}", "loader: {spot: only}"))
    stand_in.failure = Failure(at=INSTANCES[1], words="InsufficientInstanceCapacity: none here")
    before = listing(stand_in)
    with pytest.raises(
        StackError, match=r"(dbms|loader)-1.*InsufficientInstanceCapacity|InsufficientInstance"
    ):
        stack.up(time.time() + LATER)
    stack.remove()
    assert listing(stand_in) == before


def test_what_a_killed_engine_left_is_found_by_its_tags(stand_in: StandIn, tmp_path: Path) -> None:
    before = listing(stand_in)
    stack = provisioner(tmp_path)
    stand_in.failure = Failure(at=INSTANCES[0], made=True, instead=kill_engine)
    with pytest.raises(BenchctlError):
        stack.up(time.time() + LATER)
    there = aws.leftovers(None, request(SMALL).hosts)
    kinds = [found.kind for found in there]
    assert kinds[0] == "instance"
    assert {"vpc", "subnet", "security-group", "key-pair", "placement-group"} <= set(kinds)
    assert {found.run for found in there} == {NAME}
    assert not aws.leftovers("another-run", None)
    assert listing(stand_in) != before
    for found in there:
        aws.remove(found)
        aws.remove(found)  # gone: nothing happens
    assert listing(stand_in) == before
    assert not aws.leftovers(NAME, request(SMALL).hosts)


def test_the_command_previews_with_prices_and_the_janitor_removes(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = listing(stand_in)
    file = tmp_path / "small.yml"
    rest = 'dbms: {role: postgresql, version: "18"}\nworkload: {role: pgbench}\n'
    file.write_text(f"name: small\nhosts: {SMALL}\n{rest}")
    prices = tmp_path / "prices.yml"
    prices.write_text("aws: {c7i.large: 0.25}\n")
    monkeypatch.setenv("BENCHCTL_PRICES", str(prices))
    shown = CliRunner().invoke(cli, ["provision", str(file), "--preview"], catch_exceptions=False)
    assert "dbms: 1 × c7i.large, 0.25 USD/h" in shown.stdout
    assert "total: 0.50 USD/h" in shown.stdout
    assert listing(stand_in) == before

    provisioner(tmp_path).up(time.time() - 1)  # their time is over already
    listed = CliRunner().invoke(cli, ["janitor", str(file)], catch_exceptions=False)
    assert listed.stdout.count("past its expiry") == len(aws.leftovers(NAME, request(SMALL).hosts))
    assert "0.25 USD/h" in listed.stdout
    assert listing(stand_in) != before
    CliRunner().invoke(cli, ["janitor", str(file), "--remove"], catch_exceptions=False)
    assert listing(stand_in) == before


def test_a_missing_plug_in_is_named_before_anything_is_made(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCHCTL_PULUMI_ROOT", str(engine_root()))
    monkeypatch.delenv("PULUMI_DEBUG_PROVIDERS")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    before = listing(stand_in)
    with pytest.raises(EngineError, match=r"no plug-in for provider aws\n.*plugin install resource aws v7\."):
        provisioner(tmp_path).up(time.time() + LATER)
    assert listing(stand_in) == before


def kill_engine() -> None:
    """Kill the engines that this process started."""
    program = str(find_engine().program).encode()
    for line in Path("/proc/self/task").glob("*/children"):
        for pid in line.read_text("ascii").split():
            if Path("/proc", pid, "cmdline").read_bytes().split(b"\0")[0] == program:
                os.kill(int(pid), signal.SIGKILL)
