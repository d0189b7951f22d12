"""A program for tests: tunes what lies in its own namespaces, and gives it back, all by the real kernel.

    unshare --net --mount python -m tests.kernel_here STATE WHAT VALUES

WHAT is nic (a pair of veths stands for cards) or atime (with a file system of memory that claims a disk). It
prints what the engine replied and what the kernel showed before, between and after.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchctl.agent import nic, tuning
from benchctl.agent.machine import Machine
from benchctl.agent.restore import restore
from benchctl.agent.tuning_journal import Journal

CARDS = ("veth0", "veth1")


class Here(Machine):
    """This kernel, where a veth counts as a card."""

    def has(self, path: str) -> bool:
        return path in {f"/sys/class/net/{name}/device" for name in CARDS} or super().has(path)


def main() -> None:
    """Print one JSON object."""
    state, what, values = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    machine, journal = Here(), Journal(state)
    begin, look = {"nic": (_add_cards, _cards), "atime": (_mount, _mounts)}[what]
    begin(state)
    shown = [look(machine)]
    told = tuning.tune(machine, journal, values, {"run": "here", "kept": True})
    shown.append(look(machine))
    again = tuning.tune(machine, journal, values, {"run": "here", "kept": True})
    undone = restore(machine, journal)
    shown.append(look(machine))
    reply = {"tuned": told["knobs"], "again": again["knobs"], "undone": undone, "shown": shown}
    sys.stdout.write(json.dumps(reply))


def _add_cards(_: Path) -> None:
    _run("mount", "-t", "sysfs", "sysfs", "/sys")
    queues = ("numtxqueues", "4", "numrxqueues", "4")
    _run("ip", "link", "add", CARDS[0], *queues, "type", "veth", "peer", "name", CARDS[1], *queues)
    for name in CARDS:
        _run("ip", "link", "set", name, "up")


def _cards(machine: Machine) -> dict[str, Any]:
    found = {}
    for card in CARDS:
        for name in nic.FIELDS:
            try:
                found[f"{card} {name}"] = nic.read(machine, f"ethtool:{card}/{name}")
            except OSError as error:
                found[f"{card} {name}"] = str(error.strerror)
        found[f"{card} mtu"] = machine.read(f"/sys/class/net/{card}/mtu")
        for path in machine.find(f"/sys/class/net/{card}/queues/rx-*/rps_cpus"):
            found[path] = machine.read(path)
    return found


def _mount(state: Path) -> None:
    (state / "disk").mkdir(parents=True)
    _run("mount", "-t", "tmpfs", "-o", "nosuid,nodev,strictatime", "/dev/none", str(state / "disk"))


def _mounts(machine: Machine) -> str:
    return machine.read("/proc/self/mountinfo")


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


if __name__ == "__main__":
    main()
