"""From the request to resources and the outputs that every stack exports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

from bench_lab.resources import HostGroup, Network
from benchctl.errors import SpecError
from benchctl.model.lab import LabHosts
from benchctl.provision.outputs import OUTPUT
from benchctl.provision.request import KEY, Request, read_request

if TYPE_CHECKING:
    from bench_lab.resources import ExportedHost

PROJECT = "bench-lab"


def program() -> None:
    """Read the request, make the hosts, export them."""
    request = read_request(pulumi.Config(PROJECT).require(KEY))
    pulumi.export(OUTPUT, make(request))


def make(request: Request) -> dict[str, list[ExportedHost]]:
    """Declare the network and every group. Raises SpecError for a request that is not of provider lab."""
    if not isinstance(request.hosts, LabHosts):
        raise SpecError(f"provider lab cannot make the hosts of {type(request.hosts).__name__}")
    network = Network(request.run, request.tags)
    exported = {}
    first = 0
    for name in request.hosts.groups:
        group = HostGroup(name, request.hosts, request, network, first=first)
        exported[name] = group.exported
        first += len(group.exported)
    return exported
