"""Who gets which CPUs of this host, in words: for the plan's reply, and for the journal.

Owns these words. Must not pin anything: who starts a process does.
"""

from typing import Dict

from benchctl.agent import topology
from benchctl.agent.forms import cpu_list
from benchctl.agent.machine import Machine
from benchctl.agent.pinning import REST
from benchctl.agent.wire import Json


def of(machine: Machine) -> topology.CpuPlan:
    """Return the plan of a host for the roles that it has. Raises PlanError."""
    return topology.plan(topology.read_cores(machine), machine.roles, topology.network_node(machine))


def picture(machine: Machine) -> Json:
    """Return the host's cores and who gets which; without a plan `why` says the reason.

    `cores` are rows of CPUs, socket and node; `node` is the network card's, None when it is not told.
    """
    cores = topology.read_cores(machine)
    reply: Json = {
        "cores": [[cpu_list(core.cpus), core.socket, core.node] for core in cores],
        "node": topology.network_node(machine),
        "housekeeping": "",
        "parts": {},
        "why": "",
    }
    try:
        reply["housekeeping"] = cpu_list(topology.housekeeping(cores))
        made = of(machine)
    except topology.PlanError as error:
        return {**reply, "why": str(error)}
    return {**reply, "parts": _parts(made)}


def head(machine: Machine) -> Dict[str, str]:
    """Return what the journal keeps of the plan: role -> its CPUs; nothing where there can be none."""
    try:
        made = of(machine)
    except topology.PlanError:
        return {}
    return {REST: cpu_list(made.measured), **_parts(made)}


def _parts(made: topology.CpuPlan) -> Dict[str, str]:
    return {role: cpu_list(part) for role, part in made.parts.items()}
