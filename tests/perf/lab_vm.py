"""A VM of the lab to SSH-ready through the stack against the bare QEMU command, and its reboot by a run."""

from __future__ import annotations

import io
import os
import socket
import tarfile
import tempfile
import time
from pathlib import Path

from benchctl.model.lab import LabGroup, LabHosts
from benchctl.provision.boot import ensure_parameters
from benchctl.provision.keys import make_key
from benchctl.provision.lab import vm
from benchctl.provision.lab.image import image
from benchctl.provision.lab.podman import REMEDY, podman, possible
from benchctl.provision.place import Place
from benchctl.provision.stack import StackProvisioner
from tests.perf.rows import Row, compared, duration, rounds

GOAL = 1.1
ROUNDS = 3
LIMIT = 600.0
NETWORK = "[Match]\nType=ether\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\n"


def run() -> list[Row]:
    if not possible() or not Path(vm.TUN).exists():
        return [Row("lab VM", "–", "–", "–", REMEDY)]
    image(vm.vm_recipe())
    pairs = [(_stack(number), _bare()) for number in range(rounds(ROUNDS))]
    (up, reboot), peer = min(ours for ours, _ in pairs), min(bare for _, bare in pairs)
    return [
        compared("lab VM: up to SSH-ready, against QEMU alone", up, peer, GOAL),
        Row("lab VM: a kernel parameter in force after a reboot", duration(reboot), "–", "–", ""),
    ]


def _stack(number: int) -> tuple[float, float]:
    """Seconds until sshd answers, and of the loader's change with the reboot that it needs."""
    with tempfile.TemporaryDirectory(prefix="benchctl-perf-") as folder:
        run = Path(folder, "runs", f"perf-vm-{os.getpid()}-{number}")
        run.mkdir(parents=True)
        stack = StackProvisioner(Place(Path(folder), run), LabHosts(kind="vm", groups={"loader": LabGroup()}))
        try:
            begin = time.perf_counter()
            (host,) = stack.up(float(int(time.time()) + 3600)).hosts
            up = time.perf_counter() - begin
            ensure_parameters([(host, ("isolcpus=1",))], console=lambda _: "")
            return up, time.perf_counter() - begin - up
        finally:
            stack.remove()


def _bare() -> float:
    """Seconds until sshd answers in the same VM, started by one command and reached by a forwarded port."""
    name = f"benchctl-perf-{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = vm.command(vm.Hardware("tcg", 2, 2**30), name, "02:42:0a:00:02:0f")
    argv = argv[argv.index("qemu-system-x86_64") :]
    at = argv.index("-netdev") + 1
    argv[at] = f"user,id=net,hostfwd=tcp:127.0.0.1:{port}-:22"
    with tempfile.TemporaryDirectory(prefix="benchctl-perf-") as folder:
        seed = Path(folder, "seed.tar")
        _seed(seed)
        words = (
            "run",
            "--detach",
            "--rm",
            "--name",
            name,
            "--network=host",
            "--volume",
            f"{seed}:/seed.tar:ro",
        )
        begin = time.perf_counter()
        podman(*words, image(vm.vm_recipe()), *argv)
        try:
            while not _greets(port):
                if time.perf_counter() - begin > LIMIT:
                    raise TimeoutError(podman("logs", name))
                time.sleep(0.02)
            return time.perf_counter() - begin
        finally:
            podman("rm", "--force", "--time", "0", name)


def _seed(path: Path) -> None:
    """What the VM takes from its second disk."""
    files = {
        "etc/hostname": "loader-1\n",
        "etc/hosts": "127.0.0.1 localhost\n10.0.2.15 loader-1\n",
        "etc/resolv.conf": "nameserver 10.0.2.3\n",
        "etc/benchctl/host_key": make_key().private,
        "etc/benchctl/authorized_keys": "",
        "etc/systemd/network/benchctl.network": NETWORK,
    }
    with tarfile.open(path, "w") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            entry.mode = 0o600 if name.endswith("host_key") else 0o644
            tar.addfile(entry, io.BytesIO(text.encode("ascii")))


def _greets(port: int) -> bool:
    """QEMU takes the connection at once, and the VM's sshd says something once it is there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
