"""Who owns the hosts and networks of a lab, and what dead labs left."""

from __future__ import annotations

import json
import os
from pathlib import Path

from benchctl.provision.lab.network import remove_network as remove_from_podman
from benchctl.provision.lab.podman import podman

LABEL = "benchctl.lab.owner"


def owner() -> str:
    """This process in words that no later process will share: boot, id and start."""
    return f"{boot()}:{os.getpid()}:{started(os.getpid())}"


def alive(label: str) -> bool:
    of_boot, pid, start = label.split(":")
    return of_boot == boot() and started(int(pid)) == start


def boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def started(pid: int) -> str:
    """Start of the process in ticks since boot; empty when there is none, or only its exit code is left."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] == "Z" else fields[19]


def sweep() -> list[str]:
    """Take away what labs left whose process is gone; names of what was found."""
    return [
        *(remove_hosts(name) for name, label in listed("ps", "--all", name="Names") if not alive(label)),
        *(remove_network(name) for name, label in listed("network", "ls", name="Name") if not alive(label)),
    ]


def listed(*what: str, name: str) -> list[tuple[str, str]]:
    rows = json.loads(podman(*what, "--filter", f"label={LABEL}", "--format", "json") or "[]")
    lower = [{key.lower(): value for key, value in row.items()} for row in rows]
    names = [row[name.lower()] for row in lower]
    return [
        (found if isinstance(found, str) else found[0], row["labels"][LABEL])
        for found, row in zip(names, lower, strict=True)
    ]


def remove_hosts(*containers: str) -> str:
    podman("rm", "--force", "--ignore", "--volumes", "--time", "0", *containers)
    return " ".join(containers)


def remove_network(name: str) -> str:
    remove_from_podman(name)
    return name
