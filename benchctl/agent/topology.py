"""The CPUs of a host as sockets, nodes and cores, and who gets which of them.

Owns the reading of the topology and the plan, which is a pure function of it. Must not pin anything.
"""

import contextlib
from typing import Dict, FrozenSet, List, NamedTuple, Optional, Sequence, Tuple

from benchctl.agent.forms import cpus
from benchctl.agent.machine import Machine
from benchctl.agent.pinning import DBMS, LOADER

_CPU = "/sys/devices/system/cpu"
_NODE = "/sys/devices/system/node"
_MANY = 16  # cores from which housekeeping gets a second one


class Core(NamedTuple):
    """One core: its logical CPUs, of which it has several with SMT, and where it is."""

    cpus: FrozenSet[int]
    socket: int
    node: int


class CpuPlan(NamedTuple):
    """Who gets which logical CPUs; the parts never overlap and are made of whole cores."""

    housekeeping: FrozenSet[int]
    parts: Dict[str, FrozenSet[int]]  # role -> its CPUs
    measured: FrozenSet[int]  # all but those of housekeeping


class PlanError(ValueError):
    """The host is too small for the plan; the message says why."""


def read_cores(machine: Machine) -> List[Core]:
    """Return the cores whose CPUs are online, in the order of their first CPU."""
    online = _cpus(machine, f"{_CPU}/online")
    nodes = {
        cpu: int(path.rsplit("node", 1)[1])
        for path in machine.find(f"{_NODE}/node[0-9]*")
        for cpu in _cpus(machine, f"{path}/cpulist")
    }
    found: Dict[FrozenSet[int], Core] = {}
    for cpu in sorted(online):
        folder = f"{_CPU}/cpu{cpu}/topology"
        siblings = _cpus(machine, f"{folder}/core_cpus_list") or _cpus(
            machine, f"{folder}/thread_siblings_list"
        )
        members = (siblings or frozenset({cpu})) & online
        socket = _number(machine, f"{folder}/physical_package_id")
        found.setdefault(members, Core(members, max(socket, 0), nodes.get(cpu, 0)))
    return list(found.values())


def network_node(machine: Machine) -> Optional[int]:
    """Return the node that the first network card of a device hangs on; None when it is not told."""
    for path in machine.find("/sys/class/net/*/device/numa_node"):
        node = _number(machine, path)
        if node >= 0:
            return node
    return None


def plan(cores: Sequence[Core], roles: Sequence[str], prefer: Optional[int] = None) -> CpuPlan:
    """Divide whole cores among housekeeping and the roles that this host has (dbms, loader).

    Housekeeping takes the core of CPU 0, from 16 cores on two. The DBMS fills one node after the other,
    `prefer` first (the network card's), and where a loader shares the host leaves it a third of the cores,
    those farthest from its first. Raises PlanError when a part would get no core of its own.
    """
    wanted = [role for role in (DBMS, LOADER) if role in roles]
    if len(cores) < len(wanted) + 1:
        count = f"{len(cores)} core{'s' * (len(cores) != 1)}"
        raise PlanError(
            f"{count} for housekeeping and {', '.join(wanted) or 'nothing else'}:"
            f" every part wants one of its own"
        )
    kept, others = _keep(cores)
    free = sorted(others, key=lambda core: (core.node != prefer, core.node, min(core.cpus)))
    parts = {role: _joined(part) for role, part in _divide(free, wanted)}
    return CpuPlan(_joined(kept), parts, _joined(others))


def housekeeping(cores: Sequence[Core]) -> FrozenSet[int]:
    """Return the CPUs for all that is not measured, whatever is. Raises PlanError on a single core."""
    if len(cores) < 2:
        raise PlanError("1 core: housekeeping would leave nothing to measure on")
    return _joined(_keep(cores)[0])


def _keep(cores: Sequence[Core]) -> Tuple[Sequence[Core], Sequence[Core]]:
    """Return the cores of housekeeping, and the others."""
    ordered = sorted(cores, key=lambda core: min(core.cpus))
    count = 2 if len(ordered) >= _MANY else 1
    return ordered[:count], ordered[count:]


def _divide(free: Sequence[Core], roles: Sequence[str]) -> List[Tuple[str, Sequence[Core]]]:
    if len(roles) < 2:
        return [(role, free) for role in roles]
    first = max(1, len(free) - max(1, len(free) // 3))
    return [(roles[0], free[:first]), (roles[1], free[first:])]


def _joined(cores: Sequence[Core]) -> FrozenSet[int]:
    return frozenset(cpu for core in cores for cpu in core.cpus)


def _cpus(machine: Machine, path: str) -> FrozenSet[int]:
    with contextlib.suppress(OSError, ValueError):
        return cpus(machine.read(path))
    return frozenset()


def _number(machine: Machine, path: str) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(machine.read(path))
    return -1
