"""The stack of AWS before the real engine, with a stand-in of its plug-in before Moto."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from benchctl.provision import aws
from benchctl.provision.place import Place
from benchctl.provision.stack import StackProvisioner
from tests.needs import engine_root
from tests.stacks.ec2 import CANONICAL, REGION, Ec2
from tests.stacks.mocks import request
from tests.stacks.standin import StandIn, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
CREATES = 10  # of the small stack, its provider apart; its first test holds this to what happens

# Pulumi's Automation API leaves its event loop open when an engine fails.
FORGOTTEN = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def on_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandIn]:
    """The stand-in; the engine asks it in place of the plug-in, and nobody asks what things cost."""
    engine_root()
    monkeypatch.setattr(aws, "settle", lambda *given: SETTLED.append(given[-2]))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    prices = tmp_path / "prices.yml"
    prices.write_text("aws: {c7i.large: 0.25}\n")
    monkeypatch.setenv("BENCHCTL_PRICES", str(prices))
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
