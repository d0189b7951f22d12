"""VMs of the lab in tests: their image, and QEMU's processes."""

from __future__ import annotations

import platform
from contextlib import suppress
from pathlib import Path

from benchctl.provision.cache import cache_folder
from benchctl.provision.lab import vm
from benchctl.provision.lab.image import image
from benchctl.provision.lab.podman import REMEDY, possible
from tests.needs import need


def vm_image() -> str:
    """The image with QEMU and the disk, on a machine that can have VMs; two minutes where it is not there."""
    need("podman", REMEDY, available=possible())
    able = platform.machine() == "x86_64" and Path(vm.TUN).exists()
    need("vm", "x86_64, and sudo modprobe tun", available=able)
    return image(vm.vm_recipe(), cache_folder() / "lab")


def emulators(run: str) -> list[int]:
    """The processes of QEMU for the hosts of a run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if words[0] == "qemu-system-x86_64" and words[2].startswith(f"{run}-"):
                found.append(int(entry.name))
    return found
