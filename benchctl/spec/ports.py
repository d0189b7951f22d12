"""Whether services of an experiment's stages want one port of one host, where only one can have it.

Must not look at any host: whom a port belongs to there, the agent says when a service starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchctl.model.experiment import LocalHosts
from benchctl.spec.installs import Complaint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchctl.model.experiment import Experiment


def of_services(experiment: Experiment) -> Iterator[Complaint]:
    """Yield each service that waits for the port of another one: both stay up beside each other."""
    seen: dict[tuple[str, int], str] = {}
    for number, stage in enumerate(experiment.stages):
        for index, task in enumerate(stage.tasks):
            if task.kind != "service" or task.ready is None or task.ready.port is None:
                continue
            path = f"stages.{number}.tasks.{index}.ready.port"
            key = _hosts(experiment, stage.group), task.ready.port
            if key in seen:
                yield Complaint(
                    path,
                    f"found {task.ready.port}, which {seen[key]} waits for too, on the same host",
                    "a port for each service",
                    "give one of the two another port, in its command and here",
                )
            seen.setdefault(key, f"the service of {stage.name}")


def _hosts(experiment: Experiment, group: str) -> str:
    """What two groups on the same hosts have in common."""
    hosts = experiment.hosts
    if isinstance(hosts, LocalHosts):
        return "this machine"
    return getattr(hosts.groups[group], "inventory_group", None) or group
