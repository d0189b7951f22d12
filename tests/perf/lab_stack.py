"""A lab stack of 1, 4 and 16 hosts to SSH-ready against the same podman commands in a shell script."""

from __future__ import annotations

import os
import resource
import shlex
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchctl.model.lab import LabGroup, LabHosts
from benchctl.provision.keys import make_key
from benchctl.provision.lab.image import host_recipe, image
from benchctl.provision.lab.podman import REMEDY, possible, prefix
from benchctl.provision.place import Place
from benchctl.provision.stack import StackProvisioner
from tests.perf.rows import Row, compared, duration, rounds

if TYPE_CHECKING:
    from collections.abc import Callable

COUNTS = (1, 4, 16)
GOAL = 1.5  # at 16 hosts
ROUNDS = 3
SUBNET = "10.255.250"


def run() -> list[Row]:
    if not possible():
        return [Row("lab stack", "–", "–", "–", REMEDY)]
    rows = []
    for count in COUNTS:
        rows += [*_rows(count)]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return [*rows, Row("lab stack: the engine's largest memory", f"{peak:.0f} MB", "–", "–", "")]


def _rows(count: int) -> list[Row]:
    ours = [_stack(count, number) for number in range(rounds(ROUNDS))]
    peers = [_script(count) for _ in ours]
    up, again, gone = (min(column) for column in zip(*ours, strict=True))
    peer_up, peer_gone = (min(column) for column in zip(*peers, strict=True))
    name = f"lab stack of {count}"
    return [
        compared(f"{name}: up to SSH-ready", up, peer_up, GOAL if count == COUNTS[-1] else None),
        Row(f"{name}: up again, nothing to change", duration(again), "–", "–", ""),
        compared(f"{name}: destroy", gone, peer_gone),
    ]


def _stack(count: int, number: int) -> tuple[float, float, float]:
    """Seconds of the first up, of a second one with nothing to change, and of the way back."""
    with tempfile.TemporaryDirectory(prefix="benchctl-perf-") as folder:
        run = Path(folder, "runs", f"perf-{os.getpid()}-{count}-{number}")
        run.mkdir(parents=True)
        hosts = LabHosts(groups={"loader": LabGroup(count=count)})
        stack = StackProvisioner(Place(Path(folder), run), hosts)
        until = float(int(time.time()) + 3600)
        try:
            up = _seconds(lambda: stack.up(until))
            again = _seconds(lambda: stack.up(until))
        finally:
            gone = _seconds(stack.remove)
    return up, again, gone


def _script(count: int) -> tuple[float, float]:
    """Seconds of the shell script that makes the same hosts at once, and of the one that removes them."""
    name = f"benchctl-perf-{os.getpid()}"
    with tempfile.TemporaryDirectory(prefix="benchctl-perf-") as folder:
        for number in range(count):
            files = Path(folder, str(number))
            files.mkdir()
            (files / "authorized_keys").touch()
            (files / "expires").write_text(f"{int(time.time()) + 3600}\n", encoding="ascii")
        (Path(folder) / "key").write_text(make_key().private, encoding="ascii")
        podman = shlex.join([*prefix(), "podman", "--runtime", "runc"])
        names = " ".join(map(str, range(count)))
        up = f"""set -e
for n in {names}; do cp {folder}/key {folder}/$n/host_key; chmod 600 {folder}/$n/host_key; done
{podman} network create --subnet {SUBNET}.0/24 {name} >/dev/null
for n in {names}; do
  (
    {podman} run --detach --rm --name {name}-$n --hostname h$n --network {name} --ip {SUBNET}.$((10 + n)) \\
      --systemd=always --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 \\
      --volume {folder}/$n:/etc/benchctl:ro {image(host_recipe())} /sbin/init >/dev/null
    until bash -c "read -t 1 -n 4 line </dev/tcp/{SUBNET}.$((10 + n))/22" 2>/dev/null; do sleep 0.02; done
  ) &
done
wait
"""
        down = (
            f"{podman} rm --force --time 0 {' '.join(f'{name}-{n}' for n in range(count))} >/dev/null 2>&1\n"
        )
        down += f"{podman} network rm --force {name} >/dev/null\n"
        try:
            made = _seconds(lambda: _shell(up))
        finally:
            gone = _seconds(lambda: _shell(down))
    return made, gone


def _shell(script: str) -> None:
    subprocess.run(["bash", "-c", script], check=True, timeout=300)


def _seconds(act: Callable[[], object]) -> float:
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin
