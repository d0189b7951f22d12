"""From the plan to Ansible's variables: every variable that benchctl may set stands here.

Must not know what a role does with them; roles type them in meta/argument_specs.yml.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchctl.model.host import Inventory
    from benchctl.model.plan import Instance, Plan


def dbms_roles(plan: Plan) -> list[str]:
    return list(dict.fromkeys(instance.role for instance in plan.instances))


def loader_roles(plan: Plan) -> list[str]:
    if plan.experiment.stages:
        installed = [stage.install.role for stage in plan.experiment.stages if stage.install is not None]
        return [role for role in dict.fromkeys(installed) if role not in dbms_roles(plan)]
    return list(dict.fromkeys(treatment.workload.role for treatment in plan.treatments))


def is_remote(inventory: Inventory) -> bool:
    """Say whether a loader drives a system under test over the network."""
    dbms = {host.name for host in inventory.groups.get("dbms", ())}
    return bool(dbms) and any({host.name} != dbms for host in inventory.groups.get("loader", ()))


def parts_by_host(plan: Plan, inventory: Inventory) -> dict[str, tuple[str, ...]]:
    """Return what belongs on each host: instance ids, and loader's roles.

    Loaders' programs belong on the hosts of the systems under test too: data images are prepared there.
    """
    instances = {
        host.name: [one.id for one in plan.instances if host in inventory.groups.get(one.group, ())]
        for host in inventory.hosts
    }
    loaders = loader_roles(plan)
    if plan.experiment.stages:
        there = roles_by_host(plan, inventory)
        return {
            host: (*ids, *(role for role in loaders if role in there[host]))
            for host, ids in instances.items()
        }
    drivers = {host.name for name in ("loader", "dbms") for host in inventory.groups.get(name, ())}
    return {host: (*ids, *(loaders if host in drivers else ())) for host, ids in instances.items()}


def roles_by_host(plan: Plan, inventory: Inventory) -> dict[str, list[str]]:
    """Return the roles that stages install on each host."""
    found: dict[str, dict[str, None]] = {host.name: {} for host in inventory.hosts}
    for stage in plan.experiment.stages:
        if stage.install is not None:
            for host in inventory.groups[stage.group]:
                found[host.name][stage.install.role] = None
    return {host: list(roles) for host, roles in found.items()}


def instance_entry(instance: Instance) -> dict[str, Any]:
    """Return one entry of <role>_instances: the id and the install options that were given."""
    given = {name: value for name, value in instance.options.items() if value is not None}
    return {"id": instance.id, **given}


def loader_variables(plan: Plan) -> dict[str, Any]:
    """Return how load generators are installed; what is not said here, the hosts' variables may say."""
    return {f"{role}_{name}": value for role, told in plan.loaders.items() for name, value in told.items()}


def network_entry(inventory: Inventory) -> dict[str, str]:
    """Return what an entry says more where a loader is on another host: where to listen."""
    return {"listen": "{{ bench_addresses[inventory_hostname] }}"} if is_remote(inventory) else {}


def addresses(inventory: Inventory) -> dict[str, Any]:
    """Return where hosts reach one another, and where loaders come from that are on another host."""
    dbms = {host.name for host in inventory.groups.get("dbms", ())}
    return {
        "bench_addresses": {host.name: host.address for host in inventory.hosts},
        "bench_loader_addresses": [
            host.address for host in inventory.groups.get("loader", ()) if {host.name} != dbms
        ],
    }


def role_variables(plan: Plan, inventory: Inventory, stamps: dict[str, str]) -> dict[str, Any]:
    """Return the extra variables for a plan."""
    network = {} if plan.experiment.stages else network_entry(inventory)  # stages say where to listen
    instances = {
        f"{role}_instances": list(
            {
                one.id: {**instance_entry(one), **network} for one in plan.instances if one.role == role
            }.values()
        )
        for role in dbms_roles(plan)
    }
    staged = bool(plan.experiment.stages)
    return {
        **loader_variables(plan),
        "bench_stamps": stamps,
        "bench_dbms_roles": [] if staged else dbms_roles(plan),
        "bench_loader_roles": [] if staged else loader_roles(plan),
        "bench_stage_roles": roles_by_host(plan, inventory),
        **addresses(inventory),
        **instances,
    }


def descriptor_paths(plan: Plan, cache: str, names: Iterable[str]) -> dict[str, str]:
    """Return where the roles leave descriptors on a host, by instance id and by loader's role."""
    instances = {one.id for one in plan.instances}
    return {
        name: f"{cache}/{'instances' if name in instances else 'loaders'}/{name}/descriptor.json"
        for name in names
    }
