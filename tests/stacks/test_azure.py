"""The program of stacks/azure under Pulumi's mocks: every resource, tag and rule; every option."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.errors import SpecError
from benchctl.provision import expiry
from benchctl.provision.keys import derived_key
from benchctl.provision.outputs import read_outputs, to_inventory
from benchctl.provision.request import EXPIRES, OWNER, RUN
from tests.stacks.mocks import STACKS, Recorder, Result, request, run

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = """
  provider: azure
  location: westeurope
  size: Standard_D8ds_v5
  groups: {dbms: {}, loader: {count: 2}}"""
TAGS = {RUN: "20261121-1015-case-3f2a", OWNER: "me@here", EXPIRES: "2000000000"}
VM, NIC = "azure-native:compute:VirtualMachine", "azure-native:network:NetworkInterface"
TAGGED = {
    "azure-native:resources:ResourceGroup",
    "azure-native:network:NetworkSecurityGroup",
    "azure-native:network:VirtualNetwork",
    "azure-native:network:PublicIPAddress",
    "azure-native:compute:ProximityPlacementGroup",
    "azure-native:compute:DedicatedHostGroup",
    "azure-native:compute:DedicatedHost",
    "azure-native:compute:Disk",
    VM,
    NIC,
}
UNTAGGED = {"azure-native:network:Subnet", "azure-native:authorization:RoleAssignment"}  # which take none
OF_OPTIONS = {
    "azure-native:compute:DedicatedHostGroup",
    "azure-native:compute:DedicatedHost",
    "azure-native:compute:Disk",
}


def make(hosts: str = PLAIN, **changes: Any) -> Result:
    known: dict[str, dict[str, Any]] = {
        "azure-native:resources:ResourceGroup": {"name": "group-name"},
        "azure-native:network:PublicIPAddress": {"ipAddress": "198.51.100.8"},
        NIC: {"ipConfigurations": [{"privateIPAddress": "10.98.0.8"}]},
        VM: {
            "identity": {"principalId": "somebody"},
            "storageProfile": {"imageReference": {"exactVersion": "0.20261101.1"}},
        },
    }
    return run("azure", request(hosts, **changes), Recorder({}, known))


def config_of(given: dict[str, Any]) -> dict[str, Any]:
    text = base64.b64decode(given["osProfile"]["customData"]).decode()
    config: dict[str, Any] = json.loads(text.removeprefix("#cloud-config\n"))
    return config


@pytest.fixture(scope="module")
def plain() -> Result:
    return make(prices={"dbms": 0.5})


def test_all_that_is_made_is_known_and_tagged(plain: Result) -> None:
    kinds = {made.type for made in plain.resources if not made.type.startswith("bench:")}
    assert kinds == (TAGGED | UNTAGGED) - OF_OPTIONS
    for made in plain.resources:
        if made.type in TAGGED:
            assert made.inputs["tags"] == TAGS, made
        if made.type in TAGGED and not made.type.endswith("ResourceGroup"):
            assert made.inputs["resourceGroupName"] == "group-name", made


def test_only_the_caller_gets_in_and_only_by_ssh(plain: Result) -> None:
    (group,) = plain.of("azure-native:network:NetworkSecurityGroup").values()
    rules = {rule["name"]: rule for rule in group.inputs["securityRules"]}
    assert {rule["direction"] for rule in rules.values()} == {"Inbound"}
    ssh, inside, others = rules["ssh"], rules["inside"], rules["nobody-else"]
    assert (ssh["access"], ssh["protocol"], ssh["destinationPortRange"]) == ("Allow", "Tcp", "22")
    assert ssh["sourceAddressPrefixes"] == ["203.0.113.7/32"]
    assert "sourceAddressPrefix" not in ssh
    assert (inside["access"], inside["sourceAddressPrefix"]) == ("Allow", "VirtualNetwork")
    assert (others["access"], others["sourceAddressPrefix"]) == ("Deny", "*")
    assert ssh["priority"] < inside["priority"] < others["priority"]
    (subnet,) = plain.of("azure-native:network:Subnet").values()
    assert subnet.inputs["networkSecurityGroup"] == {"id": f"{group.name}-id"}
    for card in plain.of(NIC).values():
        (address,) = card.inputs["ipConfigurations"]
        assert address["subnet"]["id"] == f"{subnet.name}-id"
        assert card.inputs["enableAcceleratedNetworking"] is True


def test_each_machine_has_its_key_and_its_switch(plain: Result) -> None:
    machines = plain.of(VM)
    assert sorted(machines) == ["dbms-1", "loader-1", "loader-2"]
    for name, made in machines.items():
        given = made.inputs
        config = config_of(given)
        assert config["ssh_keys"]["ed25519_public"] == derived_key("seed", name).public
        files = {file["path"]: file["content"] for file in config["write_files"]}
        assert files[expiry.FILE] == "2000000000\n"
        assert files.keys() >= expiry.units().keys()
        leave = "/etc/systemd/system/benchctl-expiry.service.d/leave.conf"
        assert "benchctl-leave || systemctl poweroff" in files[leave]
        assert (STACKS / "azure" / "bench_azure" / "leave.py").read_text("utf-8") in files[
            "/usr/local/sbin/benchctl-leave"
        ]
        assert given["osProfile"]["linuxConfiguration"]["disablePasswordAuthentication"] is True
        assert "adminPassword" not in given["osProfile"]
        assert given["storageProfile"]["osDisk"]["deleteOption"] == "Delete"
        assert given["networkProfile"]["networkInterfaces"][0]["deleteOption"] == "Delete"
        assert given["proximityPlacementGroup"] == {"id": "placement-id"}
        assert given["priority"] == "Regular"
        assert given["identity"] == {"type": "SystemAssigned"}


def test_a_host_may_delete_its_own_group_and_no_more(plain: Result) -> None:
    rights = plain.of("azure-native:authorization:RoleAssignment")
    assert sorted(rights) == ["dbms-1", "loader-1", "loader-2"]
    for made in rights.values():
        assert made.inputs["scope"] == "group-id"
        assert made.inputs["principalId"] == "somebody"
    assert len({made.inputs["roleAssignmentName"] for made in rights.values()}) == 3


def test_the_hosts_are_exported_by_the_contract(plain: Result, tmp_path: Path) -> None:
    groups = read_outputs(plain.exports)
    (host,) = groups["dbms"]
    assert (host.address, host.private_address, host.user) == ("198.51.100.8", "10.98.0.8", "bench")
    assert (host.zone, host.price_per_hour, host.cpus) == ("westeurope", 0.5, None)
    known = tmp_path / "known_hosts"
    assert len(to_inventory(groups, identity_file=tmp_path / "id", known_hosts=known).hosts) == 3
    assert plain.exports["pinned"] == {"image.dbms": "0.20261101.1", "image.loader": "0.20261101.1"}


def test_every_option_of_a_machine() -> None:
    found = make(
        """
  provider: azure
  location: westeurope
  zone: "2"
  at_expiry: stop
  placement: none
  user: someone
  groups:
    dbms:
      size: Standard_L8s_v3
      disks: [{type: local-nvme}, {type: ultra, size: 512GB, iops: 80000, throughput: 1200, mount: /srv/wal}]
      image: {publisher: canonical, offer: ubuntu-24_04-lts, sku: server, version: latest}
    loader: {size: Standard_D8ds_v5, spot: prefer, ephemeral_os: true, accelerated_networking: false}
""",
        pinned={"image.dbms": "24.04.1"},
    )
    dbms, loader = (found.of(VM)[name].inputs for name in ("dbms-1", "loader-1"))
    assert not {"identity", "proximityPlacementGroup"} & dbms.keys()
    assert not found.of("azure-native:authorization:RoleAssignment")
    assert dbms["zones"] == ["2"]
    assert dbms["storageProfile"]["imageReference"] == {
        "publisher": "canonical",
        "offer": "ubuntu-24_04-lts",
        "sku": "server",
        "version": "24.04.1",
    }
    assert dbms["additionalCapabilities"] == {"ultraSSDEnabled": True}
    (disk,) = found.of("azure-native:compute:Disk").values()
    assert disk.inputs["sku"] == {"name": "UltraSSD_LRS"}
    assert (disk.inputs["diskIOPSReadWrite"], disk.inputs["diskMBpsReadWrite"]) == (80000, 1200)
    assert (disk.inputs["diskSizeGB"], disk.inputs["zones"]) == (512, ["2"])
    (attached,) = dbms["storageProfile"]["dataDisks"]
    assert (attached["createOption"], attached["deleteOption"], attached["caching"]) == (
        "Attach",
        "Delete",
        "None",
    )
    program = "/usr/local/sbin/benchctl-disk"
    assert config_of(dbms)["runcmd"][2:] == [
        [program, "someone", "~/.cache/benchctl", "model", "Microsoft NVMe Direct Disk"],
        [program, "someone", "/srv/wal", "/dev/disk/azure/data/by-lun/0", "/dev/disk/azure/scsi1/lun0"],
    ]
    assert loader["storageProfile"]["osDisk"]["diffDiskSettings"] == {"option": "Local"}
    assert (loader["priority"], loader["evictionPolicy"]) == ("Spot", "Delete")
    assert loader["billingProfile"] == {"maxPrice": -1}
    assert found.of(NIC)["loader-1"].inputs["enableAcceleratedNetworking"] is False


@pytest.mark.parametrize(("spot", "priority"), [("prefer", "Regular"), ("only", "Spot")])
def test_refused_spot_falls_back_only_where_it_may(spot: str, priority: str) -> None:
    hosts = f"{{provider: azure, location: westeurope, size: Standard_D8ds_v5, spot: {spot}}}"
    assert make(hosts, on_demand=True).of(VM)["dbms-1"].inputs["priority"] == priority


def test_a_dedicated_host_carries_all_machines() -> None:
    hosts = "{provider: azure, location: westeurope, size: Standard_D8ds_v5, dedicated_host: DSv5-Type1}"
    found = make(hosts)
    (made,) = found.of("azure-native:compute:DedicatedHost").values()
    assert made.inputs["sku"] == {"name": "DSv5-Type1"}
    assert {machine.inputs["host"]["id"] for machine in found.of(VM).values()} == {"dedicated-id"}


def test_hosts_of_another_provider_are_refused() -> None:
    with pytest.raises(SpecError, match="makes hosts on Azure"):
        make("{provider: local}")
