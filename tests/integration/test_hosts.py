"""Hosts of the lab through the real command: check, trust, fingerprint, bastions, sudo with a password."""

from __future__ import annotations

import json
import subprocess
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from benchctl.benchmark.connection import connect_all
from benchctl.benchmark.fleet import Fleet
from benchctl.configure import Access, AnsibleRunner, Call, Converged, converge
from benchctl.model.experiment import InventoryGroup, InventoryHosts
from benchctl.model.host import Host, Inventory
from benchctl.provision import provisioner_for, to_ansible
from benchctl.provision.fit import examine
from tests.builders import plan
from tests.contract.test_playbook_runner import places_with, processes
from tests.lab.image import PASSWORD
from tests.unit.test_cli_main import run_main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.lab.fixtures import Fresh
    from tests.lab.host import LabHost
    from tests.lab.lab import Lab


@pytest.fixture
def act(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the command."""
    return partial(run_main, monkeypatch)


def over(host: LabHost, user: str = "root", **more: Any) -> Host:
    return Host(name=host.name, transport="ssh", options={**host.options(user=user), **more})


def json_of(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_check_shows_hosts_side_by_side_and_names_what_is_not_fit(
    lab: Lab, fresh: Fresh, capsys: pytest.CaptureFixture[str], act: Callable[..., int]
) -> None:
    up, down = lab.host("h1"), fresh()
    down.kill_sshd()
    path = lab.inventory({"dbms": [up], "loader": [down]})
    assert act("hosts", "check", "-i", str(path), "dbms", "--json") in {0, 3}  # this machine may be busy
    (checks,) = json_of(capsys)["hosts"].values()
    assert [one["name"] for one in checks] == [
        "reachable", "key", "python", "sudo", "disk", "cores", "kernel", "clock", "quiet",
    ]  # fmt: skip
    assert all(one["fit"] for one in checks if one["name"] not in {"quiet", "disk"})
    assert act("hosts", "check", "-i", str(path)) == 3
    shown = capsys.readouterr()
    assert f"{down.name}: reachable: {down.address}: " in shown.out
    assert shown.out.splitlines()[0].split() == ["host", *(one["name"] for one in checks)]
    assert down.name in shown.err
    assert act("hosts", "check", "-i", str(path), "nobody") == 2


def test_sudo_with_and_without_password(lab: Lab) -> None:
    host = lab.host("h1")

    def sudo(user: str, password: str | None) -> tuple[bool, str]:
        checks = examine([over(host, user)], sudo=True, password=password)[host.name]
        (found,) = (one for one in checks if one.name == "sudo")
        return found.fit, found.found

    assert sudo("root", None) == (True, "root")
    assert sudo("bench", None) == (True, "free")
    assert sudo("plain", PASSWORD) == (True, "password")
    assert sudo("plain", None) == (False, "needs a password")
    assert sudo("plain", "wrong")[0] is False


def test_trust_records_new_keys_and_never_a_changed_one(
    lab: Lab, fresh: Fresh, tmp_path: Path, capsys: pytest.CaptureFixture[str], act: Callable[..., int]
) -> None:
    host = fresh()
    known = tmp_path / "new" / "known_hosts"
    path = lab.inventory({"dbms": [host]}, ansible_ssh_common_args=f"-o UserKnownHostsFile={known}")
    arguments = ["hosts", "trust", "-i", str(path)]
    assert act(*arguments) == 2  # nobody can be asked
    assert not known.exists()
    capsys.readouterr()
    assert act(*arguments, "--yes", "--json") == 0
    (row,) = json_of(capsys)["hosts"]
    listed = subprocess.run(["ssh-keygen", "-lf", known], capture_output=True, text=True, check=True).stdout
    assert (row["state"], row["fingerprint"] in listed) == ("recorded", True)
    assert known.stat().st_mode & 0o777 == 0o600
    assert act(*arguments, "--json") == 0
    assert json_of(capsys)["hosts"][0]["state"] == "known"
    checks = {one.name: one for one in examine([over(host, known_hosts_file=str(known))])[host.name]}
    assert checks["key"].fit
    before = known.read_bytes()
    host.change_key()
    assert act(*arguments, "--yes") == 3
    assert "CHANGED" in capsys.readouterr().err
    assert known.read_bytes() == before
    checks = {one.name: one for one in examine([over(host, known_hosts_file=str(known))])[host.name]}
    assert "CHANGED" in checks["key"].found


def test_trust_and_check_go_through_a_bastion(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str], act: Callable[..., int]
) -> None:
    gate, inner = lab.hosts(2)
    known = tmp_path / "known hosts"
    common = f"-o 'UserKnownHostsFile=\"{known}\"' -J root@{gate.address}"
    path = lab.inventory({"dbms": [inner]}, ansible_ssh_common_args=common)
    assert act("hosts", "trust", "-i", str(path), "--yes", "--json") == 0
    assert [(row["host"], row["state"]) for row in json_of(capsys)["hosts"]] == [
        (gate.address, "recorded"),
        (inner.name, "recorded"),
    ]
    through = over(inner, known_hosts_file=str(known), proxy_jump=f"root@{gate.address}:22")
    checks = examine([through])[inner.name]
    assert [one.name for one in checks if not one.fit] in ([], ["quiet"])


@pytest.mark.ansible
def test_ansible_becomes_root_with_a_password_that_lies_nowhere(lab: Lab, tmp_path: Path) -> None:
    gate, inner = lab.hosts(2)
    become = {"become": True, "become_user": "root", "become_method": "sudo", "python": "/usr/bin/python3"}
    host = over(inner, "plain", proxy_jump=f"root@{gate.address}", **become)
    playbooks = tmp_path / "playbooks"
    playbooks.mkdir()
    (playbooks / "who.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  tasks:\n"
        "    - name: Ask\n      ansible.builtin.command: id -u\n"
        "      register: who\n      failed_when: who.stdout != '0'\n"
    )
    seen: list[str] = []

    def look(_text: str) -> None:
        files = [path for path in tmp_path.rglob("*") if "playbooks" not in path.parts]
        seen.extend(places_with(PASSWORD.encode(), [*files, *processes()]))
        seen.append("looked")

    shape = to_ansible(Inventory(groups={"dbms": (host,)}))
    shape["all"]["hosts"][host.name]["ansible_remote_tmp"] = "/tmp/remote"  # noqa: S108 - on the lab's host
    runner = AnsibleRunner(playbooks=playbooks)
    access = Access(become_password=PASSWORD)
    played = runner.run(Call("who", shape, {}, tmp_path / "log", look, access=access))
    assert played.changed == 1
    assert set(seen) == {"looked"}
    assert places_with(PASSWORD.encode(), tmp_path.rglob("*")) == []


def test_fingerprints_come_from_all_hosts_and_nothing_stays(
    lab: Lab, capsys: pytest.CaptureFixture[str], act: Callable[..., int]
) -> None:
    hosts = lab.hosts(2)
    path = lab.inventory({"dbms": hosts[:1], "loader": hosts[1:]})
    assert act("hosts", "fingerprint", "-i", str(path), "--json") == 0
    found = json_of(capsys)["hosts"]
    assert {name: facts["host.name"] for name, facts in found.items()} == {h.name: h.name for h in hosts}
    assert min(map(len, found.values())) >= 150


@pytest.mark.ansible
def test_hosts_are_converged_over_ssh_as_an_ordinary_user_and_then_left_alone(
    lab: Lab, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    hosts = lab.hosts(2)
    path = lab.inventory({"loader": hosts}, user="bench")
    groups = {"loader": InventoryGroup(count=2)}
    wanted = plan()
    experiment = replace(
        wanted.experiment, dbms=None, factors=(), hosts=InventoryHosts(path=str(path), groups=groups)
    )
    wanted = replace(wanted, experiment=experiment, instances=(), images=())
    inventory = provisioner_for(experiment).provision(experiment)
    fleet = Fleet(connect_all(inventory.hosts, f"converge-{tmp_path.name}", owner="tests", ttl=300))
    request.addfinalizer(fleet.close)
    request.addfinalizer(lambda: fleet.each("end", timeout=60))
    told: list[str] = []

    def act() -> Converged:
        return converge(wanted, inventory, fleet, AnsibleRunner(), run_dir=tmp_path, on_event=told.append)

    first = act()
    assert first.ansible
    assert first.descriptors == {
        host.name: {"command": "/home/bench/.cache/benchctl/loaders/command/descriptor.json"}
        for host in hosts
    }
    assert not act().ansible, told
    assert [".ansible" in host.exec("ls", "-A", "/home/bench").split() for host in hosts] == [False, False]
    hosts[1].exec("rm", "/home/bench/.cache/benchctl/loaders/command/descriptor.json")
    assert act().ansible
    assert hosts[1].name in told[-2] + told[-1]
