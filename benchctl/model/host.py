"""Hosts and the inventory that provisioning hands to everything after it."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from benchctl.model.record import Record, Scalar


class Host(Record, frozen=True, kw_only=True):
    """A measured host and how it is reached; Ansible's connection comes from the same record."""

    name: str
    transport: Literal["pipe"]
    options: dict[str, Scalar] = field(default_factory=dict)


class Inventory(Record, frozen=True, kw_only=True):
    """Host groups in the order of the experiment file; one host may stand in several groups."""

    groups: dict[str, tuple[Host, ...]]

    @property
    def hosts(self) -> tuple[Host, ...]:
        """Each host once, in the order of first mention."""
        seen = {host.name: host for members in self.groups.values() for host in members}
        return tuple(seen.values())
