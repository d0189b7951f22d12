"""What every trial of a run shares: the hosts' agents, the descriptors, the places for files and facts."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from benchctl.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchctl import gates
    from benchctl.benchmark.cancel import Cancel
    from benchctl.benchmark.fleet import Fleet
    from benchctl.journal import Journal
    from benchctl.model.event import Listener
    from benchctl.model.host import Host, Inventory
    from benchctl.model.measurement import Capacity, Trial
    from benchctl.model.plan import Plan

AT_ONCE = 64  # hosts that are asked side by side


class Sink(Protocol):
    """Where trials go; the run directory in a run."""

    def raw_folder(self, ordinal: int) -> Path: ...
    def attempt(self, ordinal: int) -> int: ...
    def abandon(self, ordinal: int) -> None: ...
    def finish(self, trial: Trial) -> None: ...
    def is_done(self, ordinal: int) -> bool: ...


class Descriptor(NamedTuple):
    """A descriptor as it lies on a host, and its content."""

    path: str
    content: dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """The setting of a run's trials."""

    plan: Plan
    inventory: Inventory
    fleet: Fleet  # the agents of all hosts of the inventory
    descriptors: Mapping[str, Mapping[str, Descriptor]]  # host -> instance id or loader role
    images: dict[str, str]  # the plan's image id -> the image's name on the DBMS's host
    sink: Sink
    journal: Journal
    listener: Listener
    cancel: Cancel
    context: gates.Context
    clock: Callable[[], float]  # the time of day, for what is recorded
    timer: Callable[[], float]  # CLOCK_MONOTONIC of this machine, for limits, lengths and T0
    capacities: Mapping[str, Mapping[str, Capacity]] = field(default_factory=dict)  # host -> treatment ->
    tuned: Mapping[str, int] = field(default_factory=dict)  # host -> places that are as they were wanted

    @property
    def server(self) -> Host:
        """The host of the DBMS."""
        return self.inventory.groups["dbms"][0]

    @property
    def loaders(self) -> tuple[Host, ...]:
        """The hosts of the load generators; without a group of that name, the first host."""
        return self.inventory.groups.get("loader") or self.inventory.hosts[:1]

    def programs(self, host: str) -> dict[str, str]:
        """The folder with the programs of each role on a host."""
        found = [descriptor.content for descriptor in self.descriptors.get(host, {}).values()]
        return {
            one["role"]: str(Path(next(iter(one["binaries"].values()))).parent)
            for one in found
            if one["binaries"]
        }

    def work(self, host: str) -> str:
        """The run's folder on a host."""
        return str(self.fleet[host].hello["work"])

    def target(self, instance: str, seen_from: str) -> dict[str, Any]:
        """How a load generator on the host `seen_from` reaches the DBMS: its socket only on the same host."""
        server = self.server
        agent, descriptor = self.fleet[server.name], self.descriptors[server.name][instance]
        places = {"{runtime}": agent.hello["runtime"], "{work}": f"{self.work(server.name)}/{instance}"}
        reach = {key: _filled(value, places) for key, value in descriptor.content["target"].items()}
        if seen_from != server.name and not descriptor.content.get("external"):
            reach.pop("socket", None)
            reach["host"] = server.address
        return reach


def _filled(value: object, places: Mapping[str, str]) -> object:
    for name, place in places.items() if isinstance(value, str) else ():
        value = str(value).replace(name, place)
    return value


def read_descriptors(
    fleet: Fleet, paths: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, Descriptor]]:
    """Fetch the descriptors that configure left, from all hosts at once. Raises StepError without JSON."""

    def those_of(host: str) -> dict[str, Descriptor]:
        return _read(fleet, host, paths[host], Path(folder) / host)

    with TemporaryDirectory() as folder, ThreadPoolExecutor(len(paths) or 1, "descriptors") as pool:
        return dict(zip(paths, pool.map(those_of, paths), strict=True))


def _read(fleet: Fleet, host: str, paths: Mapping[str, str], folder: Path) -> dict[str, Descriptor]:
    folder.mkdir()
    fleet[host].fetch_all([(path, folder / name) for name, path in paths.items()])
    return {name: _parse(host, path, folder / name) for name, path in paths.items()}


def _parse(host: str, path: str, copy: Path) -> Descriptor:
    try:
        return Descriptor(path, json.loads(copy.read_text(encoding="utf-8")))
    except ValueError as error:
        raise StepError(
            f"{host}: {path}: not a descriptor: {error}", remedy="`--force` configures again"
        ) from error
