"""The lab of one test process: its network, its hosts, and the files with which they are reached."""

from __future__ import annotations

import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypedDict, Unpack

from benchctl.errors import StackError
from benchctl.provision.lab import packages
from benchctl.provision.lab.machines import ULIMITS
from benchctl.provision.lab.network import hardware_address, make_network
from tests.lab.host import LabHost, make_key, set_environment
from tests.lab.image import image, locked
from tests.lab.network import LABEL, owner, remove_hosts, remove_network, sweep

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

FIRST_ADDRESS, ADDRESSES = 10, 240


class Traits(TypedDict, total=False):
    """How a host differs from the others."""

    privileged: bool  # cgroups and sysctls work, and are the machine's
    monotonic: int  # seconds that its CLOCK_MONOTONIC is before ours, by a time namespace
    realtime: int  # seconds that its CLOCK_REALTIME is before ours, by a library; wants cc
    locale: str  # of the system and all who log in
    disks: Mapping[str, str]  # small ones: folder on the host -> size
    memory: str  # the size at which its kernel kills for memory


def arguments(traits: Traits) -> list[str]:
    memory = traits.get("memory")
    disks = traits.get("disks", {}).items()
    return [
        *(["--privileged", "--cgroupns=private"] if traits.get("privileged") else []),
        *([f"--memory={memory}", f"--memory-swap={memory}"] if memory else []),
        *(f"--tmpfs={folder}:rw,exec,mode=1777,size={size}" for folder, size in disks),
    ]


def lists(image: str) -> tuple[str, ...]:
    """For podman: apt's lists from this machine's cache, or none, and each host fetches its own."""
    try:
        return "--volume", packages.lists(image)
    except StackError:
        return ()


class Lab:
    """Hosts by name, made when first asked for and kept; `fresh` ones are the asker's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"benchctl-lab-{secrets.token_hex(4)}"
        self.image = image()
        self.lists = lists(self.image)
        with locked("network"):
            sweep()
            self.subnet = make_network(self.name, {LABEL: owner()})
        self.client_key = folder / "client_key"
        self.public_key = make_key(self.client_key)
        self.known_hosts = folder / "known_hosts"
        self.ssh_config = folder / "ssh_config"
        self.live: dict[str, LabHost] = {}
        self.keys: dict[str, str] = {}
        self.traits: dict[str, Traits] = {}
        self.made = 0

    def host(self, name: str, **traits: Unpack[Traits]) -> LabHost:
        """The host of that name, the same all session; made anew after a fault or with other traits."""
        found = self.live.get(name)
        if found is not None and not found.touched and self.traits[name] == traits:
            return found
        return self.make([name], traits)[0]

    def hosts(self, count: int) -> list[LabHost]:
        """h1, h2, …; those that are missing start side by side."""
        names = [f"h{number}" for number in range(1, count + 1)]
        self.make([name for name in names if name not in self.live or self.live[name].touched], {})
        return [self.live[name] for name in names]

    def fresh(self, name: str = "", **traits: Unpack[Traits]) -> LabHost:
        """A host that nobody else has; give it back with `remove`."""
        return self.make([name or f"x{self.made + 1}"], traits)[0]

    def make(self, names: Sequence[str], traits: Traits) -> list[LabHost]:
        self.remove(*(name for name in names if name in self.live))
        for name in names:
            self.live[name] = self.prepare(name, traits)
            self.traits[name] = traits
        self.write_files()
        hosts = [self.live[name] for name in names]
        with ThreadPoolExecutor(max_workers=4) as pool:
            list(pool.map(lambda host: self.boot(host, traits), hosts))
        return hosts

    def prepare(self, name: str, traits: Traits) -> LabHost:
        taken = {host.address for host in self.live.values()}
        while (address := str(self.subnet[FIRST_ADDRESS + self.made % ADDRESSES])) in taken:
            self.made += 1
        self.made += 1
        folder = self.folder / f"host-{self.made}"
        folder.mkdir(mode=0o755)
        self.keys[name] = make_key(folder / "host_key")
        (folder / "authorized_keys").write_text(f"{self.public_key}\n", encoding="ascii")
        host = LabHost(name, f"{self.name}-{name}-{self.made}", address, folder)
        set_environment(folder, traits.get("realtime", 0), traits.get("locale", ""))
        host.ahead = traits.get("monotonic", 0)
        return host

    def boot(self, host: LabHost, traits: Traits) -> None:
        host.boot(
            "run",
            "--detach",
            *("--name", host.container, "--hostname", host.name, "--label", f"{LABEL}={owner()}"),
            *("--network", self.name, "--ip", host.address, "--network-alias", host.name),
            f"--mac-address={hardware_address(host.address)}",
            *("--systemd=always", *ULIMITS, *self.lists, *arguments(traits)),
            *("--volume", f"{host.folder}:/lab:ro", self.image, "/sbin/init"),
        )

    def remove(self, *names: str) -> None:
        gone = [self.live.pop(name) for name in names]
        for host in gone:
            host.release()
        if gone:
            remove_hosts(*(host.container for host in gone))
            self.write_files()

    def close(self) -> None:
        self.remove(*self.live)
        remove_network(self.name)

    def write_files(self) -> None:
        """known_hosts and the SSH configuration: right before the first connection to a host."""
        known = [f"{host.address},{name} {self.keys[name]}\n" for name, host in self.live.items()]
        self.known_hosts.write_text("".join(known), encoding="ascii")
        blocks = [f"Host {name}\n  HostName {host.address}\n" for name, host in self.live.items()]
        self.ssh_config.write_text("".join(blocks) + self.common_config(), encoding="utf-8")

    def common_config(self) -> str:
        return (
            "Host *\n"
            "  User root\n"
            f"  IdentityFile {self.client_key}\n"
            "  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {self.known_hosts}\n"
            "  GlobalKnownHostsFile /dev/null\n"
            "  StrictHostKeyChecking yes\n"
            "  BatchMode yes\n"
        )

    def inventory(
        self, groups: Mapping[str, Sequence[LabHost]], *, user: str = "root", **variables: object
    ) -> Path:
        """An Ansible inventory (YAML) of these groups; `variables` go to every host."""
        options = (
            f"-o UserKnownHostsFile={self.known_hosts} -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes"
        )
        common = {
            "ansible_user": user,
            "ansible_ssh_private_key_file": str(self.client_key),
            "ansible_ssh_common_args": options,
            "ansible_python_interpreter": "/usr/bin/python3",
            **variables,
        }
        children = {
            group: {"hosts": {host.name: {"ansible_host": host.address, **common} for host in members}}
            for group, members in groups.items()
        }
        path = self.folder / f"inventory-{secrets.token_hex(4)}.yml"  # JSON is YAML
        path.write_text(json.dumps({"all": {"children": children}}, indent=2), encoding="utf-8")
        return path
