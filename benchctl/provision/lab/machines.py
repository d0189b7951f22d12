"""The hosts of a run as containers, found again by their labels alone; a VM is one with QEMU in it.

Owns the folder of each host (its key, who may log in, its expiry) and every label. Containers remove
themselves when they shut down.
"""

from __future__ import annotations

import ipaddress
import json
import re
import shutil
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from benchctl.errors import StackError
from benchctl.provision.cache import cache_folder
from benchctl.provision.expiry import FOLDER
from benchctl.provision.keys import make_key
from benchctl.provision.lab import vm
from benchctl.provision.lab.image import locked
from benchctl.provision.lab.network import hardware_address, make_network, remove_network
from benchctl.provision.lab.podman import podman
from benchctl.provision.request import EXPIRES, OWNER, RUN

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ULIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")  # raising them may not be permitted
FIRST_ADDRESS = 10
SSH_LIMIT = 60.0  # seconds until sshd answers
_STEP = 0.02
_LOOK = 5.0  # seconds between two looks whether a host that does not answer is still there
_LINES = 20  # of a console
_SSH = 22
_OWN_IMAGE = "an image of one's own needs systemd, and sshd that reads /etc/benchctl"
_SLOW = "many VMs on few processors boot slowly: make fewer, or let kvm run them (hosts.accelerator)"
_CONTROL = re.compile(r"\x1b[\[(][0-9;?=]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")  # what firmware draws with


class Machine(NamedTuple):
    """A host to be made; `labels` are the run's tags.

    With `hardware` it is a VM; cpus, memory and volumes (as podman has them) are a container's.
    """

    name: str
    network: str
    address: str
    image: str
    public_key: str
    labels: Mapping[str, str]
    cpus: float | None = None
    memory: int | None = None
    hardware: vm.Hardware | None = None
    volumes: tuple[str, ...] = ()

    @property
    def container(self) -> str:
        return container_name(self.labels[RUN], self.name)


class Made(NamedTuple):
    """Something with a run's labels: a container or a network."""

    kind: str
    name: str
    run: str
    owner: str
    expires: float


def container_name(run: str, host: str) -> str:
    return f"{run}-{host}"


def host_folder(run: str, host: str) -> Path:
    """Return where the files of a host lie on the controller."""
    return cache_folder() / "lab" / "hosts" / run / host


def ensure_network(name: str, labels: Mapping[str, str]) -> str:
    """Return the subnet of the network of that name, which is made when it is missing."""
    lock = cache_folder() / "lab" / "network.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with locked(lock):
        return subnet_of(name) or str(make_network(name, labels))


def subnet_of(name: str) -> str | None:
    """Return a network's subnet; None when there is no such network."""
    found = [network for network in _networks() if network["name"] == name]
    return str(found[0]["subnets"][0]["subnet"]) if found else None


def address_in(subnet: str, index: int) -> str:
    """Return the address of the host of that number, from 0."""
    return str(ipaddress.IPv4Network(subnet)[FIRST_ADDRESS + index])


def boot(machine: Machine) -> str:
    """Make the host and wait until sshd answers; return its public host key.

    What an earlier try left under the same name is replaced. Raises StackError with the host's console when
    it does not come up; nothing of it is left then.
    """
    folder = host_folder(machine.labels[RUN], machine.name)
    key = _write_files(folder, machine)
    try:
        podman(
            "run",
            "--detach",
            "--pull=never",
            "--rm",
            "--replace",
            *_arguments(machine, folder),
            machine.image,
            *_command(machine),
        )
        _await_ssh(machine)
    except BaseException:
        remove_host(machine.container, folder)
        raise
    return key


def extend(run: str, host: str, expires: float) -> None:
    """Give a host another time at which it shuts itself down; it sees the new file at once."""
    path = host_folder(run, host) / "expires"
    with path.open("r+", encoding="ascii") as file:  # the same inode: the host has the folder mounted
        file.write(f"{int(expires):<12}\n")
        file.truncate()


def is_running(container: str) -> bool:
    return (
        podman("ps", "--quiet", "--filter", f"name=^{container}$", "--filter", "status=running").strip() != ""
    )


def remove_host(container: str, folder: Path) -> None:
    """Remove a host with its files; nothing happens when it is gone already."""
    podman("rm", "--force", "--ignore", "--volumes", "--time", "0", container)
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # the folder of the run, once its last host is gone
        folder.parent.rmdir()


def made(run: str | None = None) -> list[Made]:
    """Return what carries a run's labels, of one run or of all, hosts before networks."""
    chosen = f"label={RUN}={run}" if run else f"label={RUN}"
    containers = json.loads(podman("ps", "--all", "--filter", chosen, "--format", "json") or "[]")
    found = [_made("host", row["Names"][0], row["Labels"]) for row in containers]
    networks = [_made("network", network["name"], network["labels"]) for network in _networks(chosen)]
    return [*found, *networks]


def remove(kind: str, name: str, run: str) -> None:
    """Remove what `made` found."""
    if kind == "network":
        remove_network(name)
        shutil.rmtree(host_folder(run, ""), ignore_errors=True)
    else:
        remove_host(name, host_folder(run, name.removeprefix(f"{run}-")))


def console(run: str, host: str) -> str:
    """Return the last lines that a host wrote, or why there are none."""
    try:
        text = (host_folder(run, host) / vm.CONSOLE).read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return _log(container_name(run, host))
    lines = [line for line in _CONTROL.sub("", text).splitlines() if line.strip()]
    return "\n".join(lines[-_LINES:])


def _arguments(machine: Machine, folder: Path) -> list[str]:
    own = vm.options(machine.hardware, folder) if machine.hardware else _of_container(machine, folder)
    return [
        *("--name", machine.container, "--hostname", machine.name),
        *(word for key, value in machine.labels.items() for word in ("--label", f"{key}={value}")),
        *("--network", machine.network, "--ip", machine.address, "--network-alias", machine.name),
        f"--mac-address={hardware_address(machine.address)}",
        *ULIMITS,
        *own,
    ]


def _of_container(machine: Machine, folder: Path) -> list[str]:
    return [
        "--systemd=always",
        *([f"--cpus={machine.cpus}"] if machine.cpus else []),
        *([f"--memory={machine.memory}", f"--memory-swap={machine.memory}"] if machine.memory else []),
        *(word for volume in (f"{folder}:{FOLDER}:ro", *machine.volumes) for word in ("--volume", volume)),
    ]


def _command(machine: Machine) -> list[str]:
    return (
        vm.command(machine.hardware, machine.container, hardware_address(machine.address))
        if machine.hardware
        else ["/sbin/init"]
    )


def _write_files(folder: Path, machine: Machine) -> str:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    key = make_key()
    private = folder / "host_key"
    private.touch(mode=0o600)
    private.write_text(key.private, encoding="ascii")
    (folder / "authorized_keys").write_text(f"{machine.public_key}\n", encoding="ascii")
    (folder / "expires").write_text(f"{machine.labels[EXPIRES]:<12}\n", encoding="ascii")
    return key.public


def _await_ssh(machine: Machine) -> None:
    limit = vm.SSH_LIMIT if machine.hardware else SSH_LIMIT
    begin = looked = time.monotonic()
    while not _greets(machine.address):
        now = time.monotonic()
        ended = False
        if now - looked > _LOOK:
            looked, ended = now, not is_running(machine.container)
        if ended or now - begin > limit:
            what = "it shut down before sshd answered" if ended else f"sshd did not answer within {limit:g} s"
            raise StackError(
                f"{machine.name} ({machine.address}): {what}; "
                f"the end of its console:\n{console(machine.labels[RUN], machine.name)}",
                remedy=_SLOW if machine.hardware else _OWN_IMAGE,
            )
        time.sleep(_STEP)


def _greets(address: str) -> bool:
    try:
        with socket.create_connection((address, _SSH), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _log(container: str) -> str:
    try:
        said = podman("exec", container, "journalctl", "--no-pager", "--boot", f"--lines={_LINES}", limit=10)
    except StackError as error:
        return str(error.detail)[-500:]
    return said.strip()


def _networks(chosen: str = "") -> list[dict[str, Any]]:
    words = ["--filter", chosen] if chosen else []
    found: list[dict[str, Any]] = json.loads(podman("network", "ls", *words, "--format", "json") or "[]")
    return found


def _made(kind: str, name: str, labels: Mapping[str, str]) -> Made:
    run = labels[RUN]
    own = [host_folder(run, name.removeprefix(f"{run}-"))] if kind == "host" else []
    expires = float(labels.get(EXPIRES, "0"))
    for host in own or host_folder(run, "").glob("*"):
        with suppress(OSError, ValueError):  # an extended host says so in its file: labels cannot change
            expires = max(expires, float((host / "expires").read_text(encoding="ascii")))
    return Made(kind, name, run, labels.get(OWNER, ""), expires)
