"""What hosts that are made need around the engine: outputs, keys, passphrase, prices."""

from __future__ import annotations

import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from benchctl.errors import SpecError, StackError, StepError, UnfitError
from benchctl.model.lab import LabGroup, LabHosts
from benchctl.provision.keys import kept_key, make_key
from benchctl.provision.lab import image as lab_image
from benchctl.provision.outputs import OUTPUT, StackHost, exported, read_outputs, to_inventory
from benchctl.provision.place import PASSPHRASE, STATE_URL, Place, passphrase
from benchctl.provision.prices import estimate, read_prices
from benchctl.provision.request import Request, read_request
from benchctl.provision.stack import last_words

if TYPE_CHECKING:
    from pathlib import Path

KEY = make_key().public
HOST = StackHost(
    name="dbms-1",
    address="192.0.2.7",
    private_address="10.0.0.7",
    user="root",
    host_key=KEY,
    instance_type="container",
    expires=1_800_000_000.0,
)


def test_outputs_come_back_as_they_were_exported() -> None:
    groups = {"dbms": (HOST,)}
    assert read_outputs({OUTPUT: exported(groups)}) == groups


def test_whole_numbers_that_the_engine_made_floats_are_whole_again() -> None:
    plain = exported({"dbms": [HOST]})
    plain["dbms"][0]["port"] = 22.0
    plain["dbms"][0]["cpus"] = 4.0
    found = read_outputs({OUTPUT: plain})["dbms"][0]
    assert (found.port, found.cpus) == (22, 4)


@pytest.mark.parametrize(
    ("name", "value"), [("host_key", "ssh-dss AAAA"), ("port", 0), ("colour", "red"), ("price_per_hour", -1)]
)
def test_outputs_that_break_the_contract_are_refused(name: str, value: object) -> None:
    plain = exported({"dbms": [HOST]})
    plain["dbms"][0][name] = value
    with pytest.raises(StepError, match=r"does not keep the contract.*hosts|contract"):
        read_outputs({OUTPUT: plain})


def test_the_first_connection_is_checked(tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    inventory = to_inventory({"dbms": (HOST,)}, identity_file=tmp_path / "key", known_hosts=known)
    assert known.read_text(encoding="ascii") == f"192.0.2.7 {KEY}\n"
    (host,) = inventory.hosts
    assert host.options["known_hosts_file"] == str(known)
    assert host.address == "10.0.0.7"


def test_an_address_that_ssh_would_take_for_an_option_is_refused(tmp_path: Path) -> None:
    bad = StackHost(**{**{name: getattr(HOST, name) for name in HOST.__struct_fields__}, "address": "-oX=1"})
    with pytest.raises(SpecError, match="address"):
        to_inventory({"dbms": (bad,)}, identity_file=tmp_path / "key", known_hosts=tmp_path / "known_hosts")


def test_a_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "ssh" / "key"
    public = kept_key(path)
    assert kept_key(path) == public
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    said = subprocess.run(["ssh-keygen", "-y", "-f", path], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == public


def test_the_passphrase_is_made_once_and_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PASSPHRASE, raising=False)
    path = tmp_path / "private" / "passphrase"
    made = passphrase(path)
    assert len(made) > 30
    assert passphrase(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [found.name for found in path.parent.iterdir()] == ["passphrase"]
    monkeypatch.setenv(PASSPHRASE, "mine")
    assert passphrase(path) == "mine"


def test_the_state_lies_in_the_workspace_or_where_the_setting_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(STATE_URL, raising=False)
    place = Place(tmp_path, tmp_path / "runs" / "r")
    assert place.backend == f"file://{tmp_path}/.benchctl/state"
    monkeypatch.setenv(STATE_URL, "s3://bucket/benchctl")
    assert place.backend == "s3://bucket/benchctl"


def test_a_request_travels_and_its_tags_say_whose_it_is() -> None:
    hosts = LabHosts(memory=2**30, groups={"dbms": LabGroup(), "loader": LabGroup(count=2, memory=2**28)})
    wanted = Request(run="r", owner="me@here", expires=12.9, public_key=KEY, hosts=hosts)
    import msgspec

    assert read_request(msgspec.json.encode(wanted).decode()) == wanted
    assert wanted.tags == {"benchctl-run": "r", "benchctl-owner": "me@here", "benchctl-expires": "12"}
    assert [hosts.of(name).memory for name in hosts.groups] == [2**30, 2**28]
    with pytest.raises(SpecError, match="configuration `experiment` is not valid"):
        read_request("{}")


def test_unknown_prices_are_said_and_not_guessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHCTL_PRICES", str(tmp_path / "prices.yml"))
    assert read_prices() == {}
    assert [cost.per_hour for cost in estimate(LabHosts(groups={"dbms": LabGroup(count=3)}))] == [0.0]
    (tmp_path / "prices.yml").write_text("aws: {c7i.large: 0.09}\n", encoding="utf-8")
    assert read_prices() == {"aws": {"c7i.large": 0.09}}
    (tmp_path / "prices.yml").write_text("aws: {c7i.large: cheap}\n", encoding="utf-8")
    with pytest.raises(UnfitError, match="no file of prices"):
        read_prices()


def test_what_the_engine_said_has_no_frames_of_python() -> None:
    said = """Updating:
Diagnostics:
  pulumi-python:dynamic/benchctl:Host (loader-2):
    error: Traceback (most recent call last):
      File "/x/__main__.py", line 84, in wrapper
        return fn(self, request, context)
               ^^^^^^^^^^^^^^^^^^^^^^^^^^
    benchctl.errors.StackError: The hosts could not be made or taken away.
    loader-2: sshd did not answer

Resources:
  + 2 created
"""
    assert last_words(said).splitlines() == [
        "pulumi-python:dynamic/benchctl:Host (loader-2):",
        "error:",
        "benchctl.errors.StackError: The hosts could not be made or taken away.",
        "loader-2: sshd did not answer",
    ]
    assert last_words("error: no stack") == "error: no stack"
    assert (
        last_words("Diagnostics:\n  error: refused\n\nOutputs:\n  hosts: {}\n\nResources:\n")
        == "error: refused"
    )


def test_a_disk_without_room_for_the_image_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab_image, "run", lambda argv: subprocess.CompletedProcess(argv, 1))  # not there yet
    with pytest.raises(StackError, match="GB free; the image of the hosts takes") as caught:
        lab_image.image(lab_image.host_recipe()._replace(needed=2**60), tmp_path)
    assert "BENCHCTL_CACHE" in caught.value.remedy
