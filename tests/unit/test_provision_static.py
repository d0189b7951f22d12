"""An Ansible inventory as hosts of an experiment: groups, counts, what wins, vault, hostile names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.errors import SpecError, UnfitError
from benchctl.model.experiment import Become, Dbms, Experiment, InventoryGroup, InventoryHosts, Ssh, Workload
from benchctl.provision import listing, provisioner_for, to_ansible
from benchctl.provision.static import read_inventory
from benchctl.spec.share import shared

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchctl.model.host import Inventory

pytestmark = pytest.mark.ansible

LAB = """all:
  vars: {ansible_user: bench, ansible_ssh_common_args: -F /dev/null}
  hosts:
    db1: {ansible_host: 10.0.0.1, ansible_port: 2222, bench_address: 192.168.7.1}
  children:
    dbms: {hosts: {db1: }}
    loader:
      children: {fast: {hosts: {l2: , l1: {ansible_python_interpreter: /usr/bin/python3.11}}}}
      hosts: {l3: {ansible_become: yes, ansible_become_user: admin}}
"""


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    path = tmp_path / "lab, with comma" / "hosts.yml"
    path.parent.mkdir()
    path.write_text(LAB)
    return path


def experiment(
    path: Path, *, become: Become | None = None, ssh: Ssh | None = None, **groups: InventoryGroup
) -> Experiment:
    hosts = InventoryHosts(path=str(path), become=become or Become(), ssh=ssh or Ssh(), groups=groups)
    return Experiment(name="e", hosts=hosts, dbms=Dbms(role="postgresql"), workload=Workload(role="pgbench"))


def provision(wanted: Experiment) -> Inventory:
    return provisioner_for(wanted).provision(wanted)


def test_groups_hosts_and_options_are_the_inventorys(lab: Path) -> None:
    inventory = provision(experiment(lab, loader=InventoryGroup(count=3)))
    assert {name: [host.name for host in hosts] for name, hosts in inventory.groups.items()} == {
        "dbms": ["db1"],
        "loader": ["l3", "l2", "l1"],
    }
    hosts = {host.name: host for host in inventory.hosts}
    assert hosts["db1"].options["address"] == "10.0.0.1"
    assert (hosts["db1"].options["port"], hosts["db1"].options["user"]) == (2222, "bench")
    assert (hosts["db1"].address, hosts["l2"].address) == ("192.168.7.1", "l2")
    assert hosts["l1"].options["python"] == "/usr/bin/python3.11"
    assert (hosts["l3"].options["become"], hosts["l3"].options["become_user"]) == (True, "admin")
    assert "become" not in hosts["l1"].options


def test_the_experiment_wins_over_the_inventory(lab: Path) -> None:
    ssh = Ssh(user="me", port=22, key="/k", jump="gate", config="/dev/null", known_hosts="/known")
    inventory = provision(
        experiment(lab, ssh=ssh, become=Become(enabled=True), loader=InventoryGroup(count=1))
    )
    options = inventory.groups["dbms"][0].options
    assert (options["user"], options["port"], options["identity_file"]) == ("me", 22, "/k")
    assert (options["proxy_jump"], options["known_hosts_file"]) == ("gate", "/known")
    assert inventory.groups["loader"][0].options["become_user"] == "root"


def test_a_group_may_be_taken_from_another_and_a_host_may_stand_in_two(lab: Path) -> None:
    inventory = provision(
        experiment(
            lab,
            loader=InventoryGroup(count=2, inventory_group="fast"),
            witness=InventoryGroup(inventory_group="dbms"),
        )
    )
    assert [host.name for host in inventory.groups["loader"]] == ["l2", "l1"]
    assert inventory.groups["witness"] == inventory.groups["dbms"]
    assert len(inventory.hosts) == 3


def test_a_missing_group_names_those_that_exist(lab: Path) -> None:
    with pytest.raises(SpecError, match="no group witnes, which") as caught:
        provision(
            experiment(lab, loader=InventoryGroup(count=1), witness=InventoryGroup(inventory_group="witnes"))
        )
    assert "all, dbms, fast, loader" in caught.value.remedy
    with pytest.raises(SpecError) as caught:
        provision(experiment(lab, loader=InventoryGroup(inventory_group="loaders")))
    assert "did you mean loader?" in caught.value.remedy


def test_too_few_hosts_are_counted(lab: Path) -> None:
    with pytest.raises(
        SpecError, match=r"hosts\.groups\.loader wants 4 hosts, but loader of .* has 3: l3, l2, l1"
    ):
        provision(experiment(lab, loader=InventoryGroup(count=4)))


def test_a_host_that_ansible_would_put_into_another_group_is_refused(lab: Path) -> None:
    with pytest.raises(SpecError, match="has l1 in its group loader, but the experiment uses it in another"):
        provision(
            experiment(
                lab, loader=InventoryGroup(count=2), witness=InventoryGroup(count=2, inventory_group="fast")
            )
        )


@pytest.mark.parametrize("name", ["-oProxyCommand=id", "a b", "a;id", "ä", "a\\nb", "$(id)", "a" * 64])
def test_hostile_host_names_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(f'all: {{children: {{dbms: {{hosts: {{"{name}": }}}}}}}}\n')
    with pytest.raises(SpecError, match="cannot be the name of a host"):
        read_inventory(path)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ansible_host: '-oProxyCommand=touch /tmp/x'", "address"),
        ("ansible_host: '{{ other }}'", "ansible_host is a template"),
        ("ansible_host: [1]", "ansible_host is no plain value"),
        ("ansible_port: 'x'", "ansible_port is 'x', which is no number"),
        ("ansible_port: 70000", "port"),
        ("ansible_user: 'root; rm -rf /'", "user"),
        ("ansible_connection: docker", "ansible_connection is 'docker'"),
        ("ansible_ssh_common_args: '-o \"x'", "No closing quotation"),
        ("ansible_ssh_common_args: '-o ProxyJump=-x'", ""),
        ("bench_address: '0.0.0.0/0 trust'", "private_address"),
    ],
)
def test_hostile_variables_are_refused(line: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(
        f"all: {{children: {{dbms: {{hosts: {{db1: {{{line}}}}}}}, loader: {{hosts: {{l1: }}}}}}}}\n"
    )
    with pytest.raises(SpecError, match="db1: ") as caught:
        provision(experiment(path))
    assert words in caught.value.detail


def test_what_is_no_inventory_is_told_in_ansibles_words(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="does not exist"):
        read_inventory(tmp_path / "none.yml")
    (tmp_path / "bad.yml").write_text("all: [")
    with pytest.raises(UnfitError, match="cannot read the inventory"):
        read_inventory(tmp_path / "bad.yml")


def test_an_ini_file_and_a_folder_are_inventories_too(tmp_path: Path) -> None:
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "hosts.ini").write_text("[dbms]\ndb1 ansible_port=2200\n[loader]\nl[1:3]\n")
    known = read_inventory(tmp_path / "inventory")
    assert known.groups["loader"] == ("l1", "l2", "l3")
    assert known.variables["db1"]["ansible_port"] == 2200


def encrypt(path: Path, password: Path) -> None:
    program = Path(sys.executable).with_name("ansible-vault")
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "ANSIBLE_VAULT_PASSWORD_FILE": str(password)}
    subprocess.run([program, "encrypt", path], env=environment, check=True, capture_output=True)


def test_a_vault_opens_by_ansibles_own_means_and_its_secrets_go_nowhere(
    lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = lab.parent / "group_vars" / "all.yml"
    vault.parent.mkdir()
    vault.write_text("ansible_become_password: sesame-vault\nbench_address: 10.1.1.1\n")
    (tmp_path / "password").write_text("open")
    encrypt(vault, tmp_path / "password")
    with pytest.raises(UnfitError, match="vault") as caught:
        read_inventory(lab)
    assert "ANSIBLE_VAULT_PASSWORD_FILE" in caught.value.remedy
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(tmp_path / "password"))
    inventory = provision(experiment(lab, loader=InventoryGroup(count=3)))
    assert inventory.groups["loader"][0].address == "10.1.1.1"
    assert "sesame" not in json.dumps(to_ansible(inventory))


@pytest.mark.parametrize("name", ["lab.example", "cloudlab.example"])
def test_the_shipped_examples_give_a_database_and_two_loaders(name: str) -> None:
    wanted = experiment(
        shared("inventories") / name, ssh=Ssh(config="/dev/null"), loader=InventoryGroup(count=2)
    )
    assert len(provision(wanted).hosts) == 3


class Asked:
    """Counts how often Ansible is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = 0
        self._ask = listing.ask
        monkeypatch.setattr(listing, "ask", self.ask)

    def ask(self, path: Path) -> dict[str, Any]:
        self.times += 1
        return self._ask(path)


def test_ansible_is_not_asked_again_about_what_has_not_changed(
    lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(monkeypatch)
    keep = tmp_path / "kept"
    lab.write_text(LAB.replace("db1: {ansible_host", "db1: {ansible_become_password: sesame, ansible_host"))
    wanted = experiment(lab, loader=InventoryGroup(count=3))
    first = provisioner_for(wanted, keep).provision(wanted)
    assert provisioner_for(wanted, keep).provision(wanted) == first
    assert asked.times == 1
    (kept,) = keep.iterdir()
    assert "sesame" not in kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0
    beside = lab.parent / "group_vars" / "dbms.yml"
    beside.parent.mkdir()
    changes: list[Callable[[], object]] = [
        lambda: lab.write_text(f"{lab.read_text()}# a comment\n"),
        lambda: beside.write_text("bench_address: 10.1.1.1\n"),
        lambda: beside.write_text("ansible_port: 2299\n"),
        lambda: monkeypatch.setenv("ANSIBLE_HASH_BEHAVIOUR", "merge"),
    ]
    for number, change in enumerate(changes, 1):
        change()
        read_inventory(lab, keep)
        assert asked.times == 1 + number


def test_what_is_kept_and_damaged_is_asked_for_again(
    lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, keep = Asked(monkeypatch), tmp_path / "kept"
    first = read_inventory(lab, keep)
    (kept,) = keep.iterdir()
    kept.write_text(kept.read_text()[:-9])
    assert read_inventory(lab, keep) == first
    assert read_inventory(lab, keep) == first
    assert asked.times == 2


@pytest.mark.parametrize("why", ["program", "plugin", "vault", "linked folder", "in a folder"])
def test_nothing_is_kept_of_what_may_say_something_else_tomorrow(
    why: str, lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, keep, path = Asked(monkeypatch), tmp_path / "kept", lab
    listed = '{"dbms": {"hosts": ["db1"]}, "_meta": {"hostvars": {}}}'
    program = f"#!/bin/sh\necho '{listed}'\n"
    if why == "program":
        path = tmp_path / "program"
        path.write_text(program)
        path.chmod(0o755)
    elif why == "plugin":
        path = tmp_path / "hosts.yml"
        path.write_text("{plugin: ansible.builtin.generator, hosts: {name: db1}, layers: {}}")
    elif why == "vault":
        path = tmp_path / "hosts.yml"
        path.write_text("all: {hosts: {db1: {secret: !vault-encrypted x}}}")
    elif why == "linked folder":
        (tmp_path / "elsewhere").mkdir()
        (lab.parent / "group_vars").mkdir()
        (lab.parent / "group_vars" / "all").symlink_to(tmp_path / "elsewhere")
    else:
        path = tmp_path / "inventory"
        path.mkdir()
        (path / "a.ini").write_text("[dbms]\ndb1\n")
        (path / "program").write_text(program)
        (path / "program").chmod(0o755)
    for _ in range(2):
        with suppress(UnfitError):  # Ansible may not know how to read it; it was asked
            read_inventory(path, keep)
    assert asked.times == 2
    assert not keep.exists()
