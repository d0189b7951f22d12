"""From the plan to Ansible's variables: every variable that benchctl may set stands here.

Must not know what a role does with them; roles type them in meta/argument_specs.yml.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchctl.model.plan import Instance, Plan


def dbms_roles(plan: Plan) -> list[str]:
    return list(dict.fromkeys(instance.role for instance in plan.instances))


def loader_roles(plan: Plan) -> list[str]:
    if plan.experiment.stages:  # they bring what they run
        return []
    return list(dict.fromkeys(treatment.workload.role for treatment in plan.treatments))


def instance_entry(instance: Instance) -> dict[str, Any]:
    """Return one entry of <role>_instances: the id and the install options that were given."""
    given = {name: value for name, value in instance.options.items() if value is not None}
    return {"id": instance.id, **given}


def role_variables(plan: Plan, cache: str, stamps: dict[str, str]) -> dict[str, Any]:
    """Return the extra variables for a plan; `cache` is benchctl's folder on the hosts."""
    instances = {
        f"{role}_instances": [instance_entry(one) for one in plan.instances if one.role == role]
        for role in dbms_roles(plan)
    }
    return {
        "bench_cache": cache,
        "bench_stamps": stamps,
        "bench_dbms_roles": dbms_roles(plan),
        "bench_loader_roles": loader_roles(plan),
        **instances,
    }


def descriptor_paths(plan: Plan, cache: str) -> dict[str, str]:
    """Return where the roles leave descriptors on a host, by instance id and by loader's role."""
    instances = {one.id: f"{cache}/instances/{one.id}/descriptor.json" for one in plan.instances}
    loaders = {role: f"{cache}/loaders/{role}/descriptor.json" for role in loader_roles(plan)}
    return {**instances, **loaders}
