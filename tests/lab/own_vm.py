"""A VM of a test file's own, outside of any run: reached by SSH, and its power can be cut."""

from __future__ import annotations

import json
import os
import shlex
import time
from typing import TYPE_CHECKING

from benchctl.provision.expiry import FOLDER
from benchctl.provision.keys import make_key
from benchctl.provision.lab import machines, vm
from benchctl.provision.lab.podman import as_root, command, run
from benchctl.provision.request import EXPIRES, OWNER, RUN
from tests.lab.host import await_true
from tests.lab.made import take_away
from tests.lab.vm import emulators, vm_image

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

NAME = "vm-1"
LIFE = 6 * 3600.0  # seconds: all steps of tuning take hours on a busy machine
LIMIT = 300.0
BOOT_LIMIT = 1800.0  # beside other tests, whose processes come before those of containers
_CUT = "power-cut"
# In QEMU's place: who cuts the power leaves a file, and the VM is started again with the disk as it is.
_MAINS = f'while true; do "$@"; status=$?; rm {FOLDER}/{_CUT} 2>/dev/null || exit $status; done'


class OwnVm:
    """Made by `boot`, taken away by `close`; all commands are root's."""

    def __init__(self, folder: Path, name: str, *, cpus: int = 2) -> None:
        self.cpus = cpus
        self.run = f"{name}-{os.getpid()}"
        self.folder = folder
        self.key = folder / "client_key"
        self.known_hosts = folder / "known_hosts"
        self.inventory = folder / "vm.yml"
        self.address = ""
        self._config = folder / "ssh_config"

    def boot(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make it and wait for SSH; `monkeypatch` puts the mains switch before QEMU."""
        plain = vm.command

        def switched(hardware: vm.Hardware, name: str, hardware_address: str) -> list[str]:
            words = plain(hardware, name, hardware_address)
            qemu = words.index("qemu-system-x86_64")
            return [*words[:qemu], "sh", "-c", _MAINS, "sh", *words[qemu:]]

        monkeypatch.setattr(vm, "command", switched)
        monkeypatch.setattr(vm, "SSH_LIMIT", BOOT_LIMIT)
        built = vm_image()
        labels = {RUN: self.run, OWNER: "tests", EXPIRES: str(int(time.time() + LIFE))}
        subnet = machines.ensure_network(self.run, labels)
        self.address = machines.address_in(subnet, 0)
        pair = make_key()
        self.key.touch(mode=0o600)
        self.key.write_text(pair.private, encoding="ascii")
        hardware = vm.Hardware("tcg", self.cpus, 2**30)
        machine = machines.Machine(
            NAME, self.run, self.address, built, pair.public, labels, hardware=hardware
        )
        host_key = machines.boot(machine)
        self.known_hosts.write_text(f"{self.address} {host_key}\n", encoding="ascii")
        self._write_files()

    def close(self) -> None:
        """Take it away, whatever of it there is."""
        take_away(self.run)

    def options(self) -> dict[str, str | int | bool | float]:
        """The options of a model Host."""
        return {
            "address": self.address,
            "user": "root",
            "identity_file": str(self.key),
            "known_hosts_file": str(self.known_hosts),
        }

    def ssh(self, script: str, *, text: str | None = None, check: bool = True, limit: float = LIMIT) -> str:
        """What a script of the shell prints there."""
        done = run(["ssh", "-F", str(self._config), NAME, script], text=text, limit=limit)
        if check and done.returncode:
            message = f"{script}: exit {done.returncode}\n{done.stdout}{done.stderr}"
            raise AssertionError(message)
        return done.stdout

    def put(self, path: str, text: str) -> None:
        """Write a file there."""
        self.ssh(f"cat > {shlex.quote(path)}", text=text)

    def upload(self, source: Path, path: str) -> None:
        """Copy a file there."""
        command("scp", "-q", "-F", str(self._config), str(source), f"{NAME}:{path}", limit=LIMIT)

    def cut_power(self) -> None:
        """Kill QEMU, so that the guest hears of nothing, and start it again with its disk."""
        boot = self.boot_id()
        assert boot
        (machines.host_folder(self.run, NAME) / _CUT).touch()
        for pid in emulators(self.run):
            as_root("kill", "-KILL", str(pid))
        await_true(lambda: self.boot_id() not in {"", boot}, "the VM boots again", BOOT_LIMIT)

    def boot_id(self) -> str:
        """The number of its boot; "" while it does not answer."""
        return self.ssh("cat /proc/sys/kernel/random/boot_id", check=False, limit=30).strip()

    def _write_files(self) -> None:
        """For OpenSSH, and an inventory for the command."""
        options = {
            "HostName": self.address,
            "User": "root",
            "IdentityFile": str(self.key),
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": str(self.known_hosts),
            "BatchMode": "yes",
            "ConnectTimeout": "25",
        }
        lines = "".join(f"  {key} {value}\n" for key, value in options.items())
        self._config.write_text(f"Host {NAME}\n{lines}", encoding="ascii")
        variables = {
            "ansible_host": self.address,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self.key),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={self.known_hosts}",
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        known = {"all": {"hosts": {NAME: variables}}}
        self.inventory.write_text(json.dumps(known), encoding="ascii")  # JSON is YAML
