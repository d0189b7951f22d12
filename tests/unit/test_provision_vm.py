"""VMs of the lab: what podman, QEMU and the build get, without any of them."""

from __future__ import annotations

import itertools
import platform
import subprocess
from pathlib import Path

import pytest

from benchctl.errors import UnfitError
from benchctl.model.lab import LabGroup, LabHosts
from benchctl.provision import lab
from benchctl.provision.lab import image as images
from benchctl.provision.lab import vm
from benchctl.provision.prices import estimate

SLOW = vm.Hardware("tcg", 2, 2**30)
FAST = vm.Hardware("kvm", 4, 3 * 2**29)


def test_qemu_gets_what_the_host_is_given() -> None:
    argv = vm.command(FAST, "run-dbms-1", "02:42:0a:c8:07:0a")
    words = argv[argv.index("qemu-system-x86_64") :]
    given = dict(itertools.pairwise(words))
    assert (given["-smp"], given["-m"], given["-accel"], given["-cpu"]) == ("4", "1536M", "kvm", "host")
    assert any(word.endswith("mac=02:42:0a:c8:07:0a,romfile=") for word in words)
    assert "snapshot=on" in next(word for word in words if "disk.qcow2" in word)


@pytest.mark.parametrize(("hardware", "devices"), [(SLOW, {vm.TUN}), (FAST, {vm.TUN, vm.KVM})])
def test_a_container_gets_the_devices_that_its_vm_needs(hardware: vm.Hardware, devices: set[str]) -> None:
    words = vm.options(hardware, Path("/folder"))
    assert {word.removeprefix("--device=") for word in words if word.startswith("--device=")} == devices
    assert "--privileged" not in words


def test_shells_can_read_what_starts_and_builds_a_vm() -> None:
    recipe = vm.vm_recipe()
    assert recipe.inside is not None
    for script in (vm.command(SLOW, "", "")[2], recipe.setup, recipe.inside.setup):
        subprocess.run(["sh", "-n"], input=script, text=True, check=True)


def test_an_image_is_another_one_when_what_lies_inside_changes() -> None:
    recipe = vm.vm_recipe()
    assert recipe.inside is not None
    other = recipe._replace(inside=recipe.inside._replace(setup="true"))
    assert len({recipe.key, other.key, images.host_recipe().key}) == 3


def test_what_a_vm_needs_of_this_machine_is_told_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = LabHosts(kind="vm", accelerator="kvm", groups={"loader": LabGroup()})
    monkeypatch.setattr(lab, "possible", lambda: True)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(vm, "TUN", str(tmp_path))
    monkeypatch.setattr(vm, "KVM", str(tmp_path / "kvm"))
    with pytest.raises(UnfitError, match=r"accelerator kvm need .*kvm"):
        lab.check(hosts)
    monkeypatch.setattr(vm, "TUN", str(tmp_path / "tun"))
    with pytest.raises(UnfitError, match=r"need .*tun") as caught:
        lab.check(hosts)
    assert caught.value.remedy == "sudo modprobe tun"
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(UnfitError, match="this machine is aarch64"):
        lab.check(hosts)


def test_vms_have_processors_and_memory_where_nobody_says() -> None:
    hosts = LabHosts(kind="vm", kernel_parameters=("quiet",), groups={"a": LabGroup(), "b": LabGroup(cpus=4)})
    assert [(of.cpus, of.memory) for of in map(hosts.of, "ab")] == [(2, 2**30), (4, 2**30)]
    assert hosts.of("a").kernel_parameters == ("quiet",)
    assert LabHosts(groups={"a": LabGroup()}).of("a") == LabGroup()
    assert [cost.instance_type for cost in estimate(hosts)] == ["vm", "vm"]
