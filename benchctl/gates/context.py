"""What kind of setting a trial ran in: it decides how grave a gate's objection is, host by host."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from benchctl.model.aws import AwsHosts
from benchctl.model.azure import AzureHosts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchctl.model.host import Inventory
    from benchctl.model.plan import Plan
    from benchctl.model.tuning import HostTuning

Grade = Literal["A", "B", "C", "D"]


class Context(NamedTuple):
    """`shared_host`: what is measured runs on the load generator's host; `grade` of the host.

    For all hosts together: one of them is shared, and the worst grade; `hosts` has each host's own.
    """

    shared_host: bool
    grade: Grade
    hosts: Mapping[str, Context] = {}

    @property
    def lenient(self) -> bool:
        """Whether saturation, pressure and foreign load are part of the setting, and suspect at most."""
        return self.shared_host or self.grade == "D"

    def on(self, host: str) -> Context:
        return self.hosts.get(host, self)


def context(
    inventory: Inventory,
    fingerprints: Mapping[str, Mapping[str, Any]],
    plan: Plan | None = None,
    tunings: Mapping[str, HostTuning] | None = None,
) -> Context:
    """Derive the context from the inventory, each host's facts, the plan and what was set on each host.

    A host that carries the load and something else is shared, and so is one whose load generator is all there
    is to measure. Grades: A bare metal with all knobs of its profile in force that it has, B other bare
    metal, C dedicated virtual machine, D shared virtual machine or container. A guest cannot tell whether its
    host is shared: it is dedicated where the plan had it made so, else D, as is a host without facts.
    """
    shared, dedicated = _shared(inventory, plan), _dedicated(inventory, plan)
    hosts = {
        host.name: Context(
            host.name in shared,
            _grade(
                fingerprints.get(host.name),
                (tunings or {}).get(host.name),
                dedicated=host.name in dedicated,
            ),
        )
        for host in inventory.hosts
    }
    worst: Grade = max((one.grade for one in hosts.values()), default="D")
    return Context(bool(shared), worst, hosts)


def _shared(inventory: Inventory, plan: Plan | None) -> set[str]:
    stages = [] if plan is None else [stage for stage in plan.stages if stage.spec is not None]
    if stages:
        load = {host for stage in stages if stage.measured for host in _names(inventory, stage.group)}
        served = {
            host for stage in stages if stage.kind == "service" for host in _names(inventory, stage.group)
        }
        return load & served if served else load
    if not inventory.groups.get("dbms"):
        return {host.name for host in inventory.hosts}
    members = Counter(host.name for hosts in inventory.groups.values() for host in hosts)
    return {host for host, count in members.items() if count > 1}


def _names(inventory: Inventory, group: str) -> set[str]:
    return {host.name for host in inventory.groups.get(group, ())}


def _dedicated(inventory: Inventory, plan: Plan | None) -> set[str]:
    """Return the hosts that were made on hardware which nobody else uses."""
    if plan is None:
        return set()
    hosts = plan.experiment.hosts
    if isinstance(hosts, AwsHosts):
        chosen = {
            name for name, group in hosts.groups.items() if (group.tenancy or hosts.tenancy) == "dedicated"
        }
    else:
        alone = isinstance(hosts, AzureHosts) and hosts.dedicated_host is not None
        chosen = set(hosts.groups) if alone else set()
    return {host for group in chosen for host in _names(inventory, group)}


def _grade(facts: Mapping[str, Any] | None, tuning: HostTuning | None, *, dedicated: bool) -> Grade:
    if facts is None or facts.get("virtual.container"):
        return "D"
    if facts.get("virtual.hypervisor", True):
        return "C" if dedicated else "D"
    return "A" if tuning is not None and tuning.complete else "B"
