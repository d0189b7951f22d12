"""Networks of a lab: bridges with addresses that nobody on this machine has."""

from __future__ import annotations

import ipaddress
import json
import random
from typing import TYPE_CHECKING

from benchctl.provision.lab.podman import LabError, as_root, podman

if TYPE_CHECKING:
    from collections.abc import Mapping

ATTEMPTS = 20


def make_network(name: str, labels: Mapping[str, str]) -> ipaddress.IPv4Network:
    """Make a /24 from 10.192.0.0/10; podman itself refuses one that another of its networks has."""
    taken = routes()
    error: LabError | None = None
    for _ in range(ATTEMPTS):
        subnet = _any_subnet()
        if any(subnet.overlaps(other) for other in taken):
            continue
        words = [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]
        try:
            podman("network", "create", *words, "--subnet", str(subnet), name)
        except LabError as refused:
            error = refused
        else:
            return subnet
    raise error or LabError("every subnet that was tried is in use")


def routes() -> list[ipaddress.IPv4Network]:
    """Return what this machine has a route to."""
    listed = json.loads(as_root("ip", "-json", "-4", "route", "show", "table", "all"))
    targets = [route["dst"] for route in listed if route["dst"] != "default"]
    return [ipaddress.IPv4Network(target, strict=False) for target in targets]


def remove_network(name: str) -> None:
    """Remove a network and what is still in it; nothing happens when there is none."""
    podman("network", "rm", "--force", name)


def _any_subnet() -> ipaddress.IPv4Network:
    third, second = random.randrange(256), random.randrange(192, 256)  # noqa: S311 - no secret
    return ipaddress.IPv4Network((f"10.{second}.{third}.0", 24))


def hardware_address(address: str) -> str:
    """Return the same at each start: neighbours that remember another do not find the host for 45 s."""
    return ":".join(["02", "42", *(f"{int(part):02x}" for part in address.split("."))])
