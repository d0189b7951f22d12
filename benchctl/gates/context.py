"""What kind of setting a trial ran in: it decides how grave a gate's objection is, host by host."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchctl.model.host import Inventory
    from benchctl.model.plan import Plan

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
    inventory: Inventory, fingerprints: Mapping[str, Mapping[str, Any]], plan: Plan | None = None
) -> Context:
    """Derive the context from the inventory, each host's facts and the plan's stages.

    A host that carries the load and something else is shared, and so is one whose load generator is all there
    is to measure. Grades: A bare metal with all knobs applied, B other bare metal, C dedicated virtual
    machine, D shared virtual machine or container. A guest cannot tell whether its host is shared, so every
    virtual machine counts as D, as does a host without facts. Without tuning nothing is A.
    """
    shared = _shared(inventory, plan)
    hosts = {
        host.name: Context(host.name in shared, _grade(fingerprints.get(host.name)))
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


def _grade(facts: Mapping[str, Any] | None) -> Grade:
    if facts is None or facts.get("virtual.container") or facts.get("virtual.hypervisor", True):
        return "D"
    return "B"
