"""Who gets which CPUs of this host, in words: for the plan's reply, and for the journal.

Owns these words. Must not pin anything: who starts a process does.
"""

from typing import Dict, FrozenSet, Sequence

from benchctl.agent import topology
from benchctl.agent.forms import cpu_list
from benchctl.agent.machine import Machine
from benchctl.agent.pinning import MEASURED
from benchctl.agent.wire import Json


def picture(machine: Machine, roles: Sequence[str]) -> Json:
    """Return the host's cores and who gets which; without a plan `why` says the reason.

    `cores` are rows of CPUs, socket and node; `node` is the network card's, None when it is not told.
    """
    cores = topology.read_cores(machine)
    node = topology.network_node(machine)
    reply: Json = {
        "cores": [[cpu_list(core.cpus), core.socket, core.node] for core in cores],
        "node": node,
        "housekeeping": "",
        "parts": {},
        "why": "",
    }
    try:
        reply["housekeeping"] = cpu_list(topology.housekeeping(cores))
        made = topology.plan(cores, roles, node)
    except topology.PlanError as error:
        return {**reply, "why": str(error)}
    return {**reply, "parts": {role: cpu_list(part) for role, part in made.parts.items()}}


def measured(machine: Machine) -> FrozenSet[int]:
    """Return all CPUs but those of housekeeping. Raises PlanError."""
    cores = topology.read_cores(machine)
    return frozenset(cpu for core in cores for cpu in core.cpus) - topology.housekeeping(cores)


def head(machine: Machine, roles: Sequence[str]) -> Dict[str, str]:
    """Return what the journal keeps of the plan: role -> its CPUs. Raises PlanError."""
    made = topology.plan(topology.read_cores(machine), roles, topology.network_node(machine))
    parts = {role: cpu_list(part) for role, part in made.parts.items()}
    return {MEASURED: cpu_list(measured(machine)), **parts}
