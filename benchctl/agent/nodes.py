"""From which NUMA nodes what is measured gets memory: those of its CPUs, as the plan gives them.

Owns that one file of the measured cgroup, which cpusets makes and takes away. Memory that a process has
already is moved by the kernel.
"""

from typing import Optional

from benchctl.agent import cpusets, topology
from benchctl.agent.cgroup import MEASURED
from benchctl.agent.forms import cpu_list, cpus
from benchctl.agent.knob import Spot
from benchctl.agent.machine import Machine

FILE = f"{MEASURED}/cpuset.mems"
ALL = "all"


def wanted(machine: Machine, spot: Spot, value: str) -> Optional[str]:
    """Return the nodes of the measured CPUs for `plan`. Raises UnknownError where there is no plan."""
    measured = cpusets.wanted(machine, spot._replace(path=str(MEASURED)), value)
    if measured is None:
        return None
    cores = topology.read_cores(machine)
    return cpu_list({core.node for core in cores if core.cpus & cpus(measured)})


def read(machine: Machine, path: str) -> str:
    """Return the nodes that it was told, or all: also while there is no such cgroup."""
    return (machine.read(path).strip() if machine.has(path) else "") or ALL


def write(machine: Machine, path: str, text: str) -> None:
    """Set them; a cgroup that is gone has all."""
    if text != ALL or machine.has(path):
        machine.write(path, "" if text == ALL else text)
