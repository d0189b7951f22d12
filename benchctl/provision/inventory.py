"""The inventory in the shape of Ansible's own inventory files, so that `ansible-playbook -i` reads it too.

What Ansible has no word for stands in host variables that start with bench_. No secret ever stands in it.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from benchctl.model.host import Host, Inventory
from benchctl.provision.openssh import common_arguments

if TYPE_CHECKING:
    from benchctl.model.record import Scalar

# The interpreter of the playbook itself: discovery may find a Python that does not run.
_LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
_NAMES = {
    "ansible_host": "address",
    "ansible_port": "port",
    "ansible_user": "user",
    "ansible_ssh_private_key_file": "identity_file",
    "ansible_become": "become",
    "ansible_become_user": "become_user",
    "ansible_become_method": "become_method",
}


def to_ansible(inventory: Inventory) -> dict[str, Any]:
    """Return the inventory as Ansible's YAML and JSON inventory files have it, every host under `all`."""
    hosts = {
        host.name: {
            **(_LOCAL if host.transport == "pipe" else _ssh(host)),
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


def _ssh(host: Host) -> dict[str, Scalar]:
    given = {name: host.options[option] for name, option in _NAMES.items() if option in host.options}
    return {
        "ansible_connection": "ssh",
        **given,
        "ansible_ssh_common_args": shlex.join(common_arguments(host)),
        "ansible_python_interpreter": host.options.get("python", "python3"),
        "bench_address": host.address,
    }
