"""Who gets which CPUs of this host: the plan as a picture, and what is in force of it.

Owns the words of the plan's reply and of the journal's head. Must not pin anything: who
starts a process does.
"""

import os
from typing import Dict, FrozenSet, Optional, Sequence, Tuple

from benchctl.agent import layout, topology
from benchctl.agent.forms import cpu_list
from benchctl.agent.machine import Machine
from benchctl.agent.wire import Json

KNOB = "cpu_sets"  # with it the plan comes into force
MEASURED = ""  # in the head: all CPUs but those of housekeeping


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


_last: Tuple[Optional[Tuple[int, int]], Dict[str, str]] = (None, {})  # the journal's state, and its plan


def in_force(role: str) -> Optional[str]:
    """Return the CPUs that a role has on this host by the plan; None where none is in force.

    The journal is read when it has changed: it is asked at each start.
    """
    global _last  # noqa: PLW0603 - one journal for the host
    try:
        found = os.stat(layout.tuning_journal())  # noqa: PTH116 - loads nothing
    except OSError:
        return None
    state = (found.st_mtime_ns, found.st_size)
    if _last[0] != state:
        _last = (state, _planned())
    cpus = _last[1]
    return cpus.get(role, cpus.get(MEASURED))


def _planned() -> Dict[str, str]:
    """Return the last plan of the journal whose cgroup is there as it was set."""
    from benchctl.agent.tuning_journal import Journal

    for batch in reversed(Journal(layout.state_folder()).read()[0]):
        if batch.here and batch.head.get("cpus") and any(one.knob == KNOB for one in batch.wanted):
            return dict(batch.head["cpus"])
    return {}
