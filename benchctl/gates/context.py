"""What kind of setting a trial ran in: it decides how grave a gate's objection is."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchctl.model.host import Inventory

Grade = Literal["A", "B", "C", "D"]


class Context(NamedTuple):
    """`shared_host`: what is measured runs on the load generator's host; `grade` of the worst host."""

    shared_host: bool
    grade: Grade

    @property
    def lenient(self) -> bool:
        """Whether saturation, pressure and foreign load are part of the setting, and suspect at most."""
        return self.shared_host or self.grade == "D"


def context(inventory: Inventory, fingerprints: Mapping[str, Mapping[str, Any]]) -> Context:
    """Derive the context from the inventory and each host's facts.

    A host in two groups is shared, and so is one whose load generator is all there is to measure. Grades: A
    bare metal with all knobs applied, B other bare metal, C dedicated virtual machine, D shared virtual
    machine or container. A guest cannot tell whether its host is shared, so every virtual machine counts as
    D, as does a host without facts. Without tuning nothing is A.
    """
    members = Counter(host.name for hosts in inventory.groups.values() for host in hosts)
    grades = [_grade(fingerprints.get(host.name)) for host in inventory.hosts]
    shared = not inventory.groups.get("dbms") or any(count > 1 for count in members.values())
    return Context(shared, max(grades, default="D"))


def _grade(facts: Mapping[str, Any] | None) -> Grade:
    if facts is None or facts.get("virtual.container") or facts.get("virtual.hypervisor", True):
        return "D"
    return "B"
