"""The inventory in the shape of Ansible's own inventory files, so that `ansible-playbook -i` reads it too.

What Ansible has no word for stands in host variables that start with bench_.
"""

from __future__ import annotations

from typing import Any

from benchctl.model.host import Host, Inventory

_CONNECTIONS = {
    # The interpreter of the playbook itself: discovery may find a Python that does not run.
    "pipe": {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"},
}


def to_ansible(inventory: Inventory) -> dict[str, Any]:
    """Return the inventory as Ansible's YAML and JSON inventory files have it, every host under `all`."""
    hosts = {
        host.name: {
            **_CONNECTIONS[host.transport],
            "bench_transport": host.transport,
            "bench_options": host.options,
        }
        for host in inventory.hosts
    }
    children: dict[str, Any] = {
        name: {"hosts": {host.name: {} for host in members}} for name, members in inventory.groups.items()
    }
    return {"all": {"hosts": hosts, "children": children}}


def from_ansible(ansible: dict[str, Any]) -> Inventory:
    """Return the inventory that `to_ansible` rendered; the order of groups and hosts is kept."""
    known = ansible["all"]["hosts"]
    hosts = {
        name: Host(name=name, transport=variables["bench_transport"], options=variables["bench_options"])
        for name, variables in known.items()
    }
    children = ansible["all"]["children"]
    return Inventory(
        groups={name: tuple(hosts[host] for host in group["hosts"]) for name, group in children.items()}
    )
