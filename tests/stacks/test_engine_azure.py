"""The stack of Azure through the real engine, against a stand-in; and what is asked of Azure itself."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from benchctl.errors import SpecError, StackError, UnfitError
from benchctl.provision import azure
from benchctl.provision.place import Place
from benchctl.provision.stack import StackProvisioner
from tests.needs import engine_root
from tests.stacks.arm import REFUSED, SUBSCRIPTION, Azure, arm
from tests.stacks.conftest import FORGOTTEN, LATER, NAME
from tests.stacks.mocks import STACKS, request
from tests.stacks.standin import Failure, StandIn, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchctl.model.azure import AzureHosts

SETTLED: list[float] = []  # the times that hosts were told, which these here never answer to
SMALL = """
  provider: azure
  location: westeurope
  size: Standard_D8ds_v5
  ssh_from: [203.0.113.7/32]
  groups: {dbms: {}, loader: {}}"""
CREATES = 13  # of the small stack; the first test holds this to what happens

pytestmark = [FORGOTTEN]


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Azure]:
    prices = tmp_path / "prices.yml"
    prices.write_text("azure: {Standard_D8ds_v5: 0.5}\n")
    monkeypatch.setenv("BENCHCTL_PRICES", str(prices))
    monkeypatch.setenv("ARM_SUBSCRIPTION_ID", SUBSCRIPTION)
    for name in ("ARM_CLIENT_ID", "ARM_TENANT_ID"):
        monkeypatch.setenv(name, "someone")
    monkeypatch.setenv("ARM_CLIENT_SECRET", "right")
    found = Azure()
    with arm(found) as address:
        for name in ("ARM", "LOGIN"):
            monkeypatch.setattr(azure, name, address)
        monkeypatch.setattr(azure, "_PAUSE", 0.01)
        yield found


@pytest.fixture
def stand_in(cloud: Azure, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    engine_root()
    monkeypatch.setattr(azure, "settle", lambda *given: SETTLED.append(given[-2]))
    found = StandIn("azure-native", "3.29.0", cloud)
    with serving(found) as port:
        monkeypatch.setenv("PULUMI_DEBUG_PROVIDERS", f"azure-native:{port}")
        yield found
    gc.collect()  # what Pulumi left goes now, not in another test


def hosts_of(text: str = SMALL) -> AzureHosts:
    hosts = request(text).hosts
    assert hosts.__class__.__name__ == "AzureHosts"
    return hosts  # type: ignore[return-value]


def provisioner(folder: Path, hosts: str = SMALL) -> StackProvisioner:
    run = folder / "runs" / NAME
    run.mkdir(parents=True, exist_ok=True)
    return StackProvisioner(Place(folder, run), hosts_of(hosts))


@pytest.mark.slow
def test_hosts_from_preview_to_the_end(stand_in: StandIn, cloud: Azure, tmp_path: Path) -> None:
    stack = provisioner(tmp_path)
    expires = time.time() + LATER
    assert sum(stack.preview(expires).values()) > CREATES  # stack and components come along
    assert not cloud.there

    inventory = stack.up(expires)
    assert stand_in.creates == CREATES
    assert [host.name for host in inventory.hosts] == ["dbms-1", "loader-1"]
    made = set(cloud.there)
    later = expires + LATER
    assert SETTLED[-1] == expires
    assert stack.up(later) == inventory
    assert SETTLED[-1] == later
    assert set(cloud.there) == made
    assert cloud.groups()[f"benchctl-{NAME}"]["tags"]["benchctl-expires"] == str(int(later))
    assert Place(tmp_path, tmp_path / "runs" / NAME).pinned()["image.dbms"] == "0.20261101.1"

    stack.remove()
    assert not cloud.there


@pytest.mark.slow
@pytest.mark.parametrize("made", [False, True], ids=["refused", "answer-lost"])
@pytest.mark.parametrize("at", [1, 2, 4, 7, 10, CREATES])
def test_a_failure_at_a_create_leaves_nothing(
    stand_in: StandIn, cloud: Azure, tmp_path: Path, at: int, *, made: bool
) -> None:
    stack = provisioner(tmp_path)
    stand_in.failure = Failure(at=at, made=made)
    with pytest.raises(StackError, match="told to fail"):
        stack.up(time.time() + LATER)
    stack.remove()
    assert not cloud.there


def test_what_was_left_is_found_by_its_tags_and_goes_as_a_whole(cloud: Azure) -> None:
    asked = request(SMALL)
    for run in (NAME, "another"):
        tags = msgspec.structs.replace(asked, run=run).tags
        inputs = {"resourceGroupName": f"benchctl-{run}", "location": "westeurope", "tags": tags}
        cloud.create("azure-native:resources:ResourceGroup", "group", inputs)
    cloud.create("azure-native:compute:Disk", "disk", {"resourceGroupName": f"benchctl-{NAME}"})
    assert {found.run for found in azure.leftovers(None, None)} == {NAME, "another"}
    (found,) = azure.leftovers(NAME, hosts_of())
    assert (found.kind, found.owner, found.expires) == ("resource group", "me@here", 2e9)
    azure.remove(found)
    azure.remove(found)  # gone: nothing happens
    assert set(cloud.groups()) == {"benchctl-another"}
    assert len(cloud.there) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("westeurope", "westeurop"), "no location westeurop .*did you mean 'westeurope'"),
        (("D8ds_v5", "D8ds_v55"), "no size Standard_D8ds_v55 .*did you mean 'Standard_D8ds_v5'"),
        (("Standard_D8ds_v5", REFUSED), "NotAvailableForSubscription"),
    ],
)
def test_what_is_not_offered_is_refused(cloud: Azure, change: tuple[str, str], message: str) -> None:
    azure.check(hosts_of())
    with pytest.raises(SpecError, match=message):
        azure.check(hosts_of(SMALL.replace(*change)))


def test_missing_and_wrong_credentials_are_named(cloud: Azure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARM_CLIENT_SECRET", "wrong")
    with pytest.raises(UnfitError, match="takes no credentials from here: 401"):
        azure.check(hosts_of())
    monkeypatch.delenv("ARM_CLIENT_SECRET")
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(UnfitError, match="ARM_CLIENT_SECRET"):
        azure.leftovers(None, None)


def test_a_token_goes_to_azure_alone(cloud: Azure) -> None:
    cloud.next_link = "http://127.0.0.2/steal"
    with pytest.raises(UnfitError, match=r"sends us to http://127\.0\.0\.2/steal"):
        azure.check(hosts_of())


def test_refused_spot_falls_back_where_it_may() -> None:
    prefers = request(SMALL.replace("loader: {}", "loader: {spot: prefer}"))
    other = azure.fallback(prefers, "Code=SkuNotAvailable: no capacity")
    assert other is not None
    assert other.on_demand
    assert azure.fallback(other, "SkuNotAvailable") is None
    assert azure.fallback(prefers, "AuthorizationFailed") is None
    assert azure.fallback(request(SMALL), "SkuNotAvailable") is None


def test_a_host_whose_time_is_over_deletes_its_group(cloud: Azure) -> None:
    inputs = {"resourceGroupName": "mine", "location": "westeurope", "tags": {}}
    cloud.create("azure-native:resources:ResourceGroup", "group", inputs)
    program = (STACKS / "azure" / "bench_azure" / "leave.py").read_text("utf-8")
    program = program.replace('"https://management.azure.com"', f'"{azure.ARM}"')
    itself = json.dumps({"subscriptionId": SUBSCRIPTION, "resourceGroupName": "mine"})
    told = _with_metadata(program, (itself, '{"access_token": "token"}'))
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not cloud.there


def _with_metadata(program: str, answers: tuple[str, str]) -> str:
    """Return the program with the answers that Azure gives to a host about itself."""
    return program.replace(
        "\nmain()\n",
        f"""
really = ask
answers = iter({answers!r})
def ask(url, method="GET", **headers):
    return next(answers) if url.startswith(METADATA) else really(url, method, **headers)
main()
""",
    )
