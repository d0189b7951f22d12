"""This machine as every group, and the inventory there and back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from benchctl.errors import SpecError
from benchctl.model.experiment import Dbms, Experiment, LocalHosts, Workload
from benchctl.model.group import Group
from benchctl.model.host import Host, Inventory
from benchctl.provision import LocalProvisioner, from_ansible, to_ansible
from benchctl.provision.fitness import examine

if TYPE_CHECKING:
    from pathlib import Path


def experiment(*, dbms: bool = True, groups: dict[str, Group] | None = None) -> Experiment:
    return Experiment(
        name="e",
        workload=Workload(role="pgbench"),
        dbms=Dbms(role="postgresql") if dbms else None,
        hosts=LocalHosts(groups=groups or {}),
    )


def test_this_machine_is_every_group_and_counts_once() -> None:
    inventory = LocalProvisioner().provision(experiment(groups={"witness": Group()}))
    assert list(inventory.groups) == ["dbms", "loader", "witness"]
    assert inventory.hosts == (Host(name="localhost", transport="pipe"),)


def test_without_a_system_under_test_there_is_no_group_for_it() -> None:
    assert list(LocalProvisioner().provision(experiment(dbms=False)).groups) == ["loader"]


def test_more_than_one_host_is_refused_by_name() -> None:
    with pytest.raises(SpecError, match=r"hosts\.groups\.loader\.count is 3") as caught:
        LocalProvisioner().provision(experiment(groups={"loader": Group(count=3)}))
    assert caught.value.remedy


def test_inventory_survives_ansibles_shape_and_json() -> None:
    inventory = Inventory(
        groups={
            "loader": (Host(name="b", transport="pipe", options={"x": 1}), Host(name="a", transport="pipe")),
            "dbms": (Host(name="a", transport="pipe"),),
        }
    )
    shape = to_ansible(inventory)
    assert shape["all"]["hosts"]["a"]["ansible_connection"] == "local"
    assert from_ansible(json.loads(json.dumps(shape))) == inventory


def test_every_unmet_need_has_a_remedy_and_nothing_is_left(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.touch()
    checks = examine(tmp_path, tmp_path)
    assert [check.name for check in checks if not check.fit and not check.remedy] == []
    assert [check.name for check in checks] == [
        "system",
        "python",
        "ansible",
        "ssh",
        "paramiko",
        "postgresql",
        "server user",
        "pulumi",
        "workspace",
        "space",
        "cache",
        "cache space",
    ]
    assert list(tmp_path.iterdir()) == [blocker]


def test_a_missing_program_makes_the_machine_unfit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python3"))
    ansible = next(check for check in examine(tmp_path, tmp_path) if check.name == "ansible")
    assert not ansible.fit
    assert "pip install" in ansible.remedy


def test_without_an_ssh_client_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ssh = next(check for check in examine(tmp_path, tmp_path) if check.name == "ssh")
    assert not ssh.fit
    assert "openssh-client" in ssh.remedy
