"""Hosts and the inventory that provisioning hands to everything after it."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from benchctl.model.record import Record, Scalar

LOOPBACK = "127.0.0.1"


class Host(Record, frozen=True, kw_only=True):
    """A measured host and how it is reached; Ansible's connection comes from the same record.

    Options of transport ssh, resolved once, all but the first optional: address (what SSH connects to),
    port, user, identity_file, identities_only, known_hosts_file, host_key_alias, config_file, proxy_jump,
    proxy_command, connect_timeout (s), python, private_address (how other hosts reach it, where that
    differs), become, become_user, become_method.
    """

    name: str
    transport: Literal["pipe", "ssh"]
    options: dict[str, Scalar] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Where the other hosts reach it."""
        if self.transport == "pipe":
            return LOOPBACK
        return str(self.options.get("private_address") or self.options["address"])


class Inventory(Record, frozen=True, kw_only=True):
    """Host groups in the order of the experiment file; one host may stand in several groups."""

    groups: dict[str, tuple[Host, ...]]

    @property
    def hosts(self) -> tuple[Host, ...]:
        """Each host once, in the order of first mention."""
        seen = {host.name: host for members in self.groups.values() for host in members}
        return tuple(seen.values())
