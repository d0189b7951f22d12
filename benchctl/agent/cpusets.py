"""Who may use which CPUs: the slices of the host for all the rest, and one cgroup for what is measured.

Owns what systemd and the kernel are told of it, version 2 of cgroups only. A slice is told through systemd,
which otherwise takes back what it has not set itself; the drop-in that it makes goes again. Must not start or
move a process.
"""

import contextlib
import errno
import os
from typing import List, Optional, Sequence

from benchctl.agent import cpu_plan, topology
from benchctl.agent.cgroup import MEASURED
from benchctl.agent.forms import cpu_list
from benchctl.agent.knob import Place, Spot, UnknownError
from benchctl.agent.machine import Machine

ROOT = str(MEASURED.parent)
PARTITION = f"{MEASURED}/cpuset.cpus.partition"
ALL = "all"  # of a slice: it has those of the host
NONE = "none"  # of the measured cgroup: it is not there
MEMBER = "member"
_HERE = " here"  # systemd was told at run time
_CONTROL = "/run/systemd/system.control"
_FOLDERS = (_CONTROL, "/run/systemd/transient")  # the second for init.scope, which is no unit of a file
_NAME = "50-AllowedCPUs.conf"
_ONLINE = "/sys/devices/system/cpu/online"
_CONTROLLERS = ("cpuset", "memory", "io")


def find(machine: Machine, place: Place) -> List[Spot]:
    """Return a slice that is in use, and the measured cgroup, where version 2 of cgroups has cpusets."""
    there = _is_cgroup(place.path) or machine.has(f"{ROOT}/{place.path}/cgroup.procs")
    return [Spot(place.path, "", place)] if there and _has_cpusets(machine) else []


def wanted(machine: Machine, spot: Spot, value: str) -> Optional[str]:
    """Return what `plan` is in a place. Raises UnknownError where it cannot come about."""
    if value != "plan":
        return None
    if os.environ.get("SUDO_UID", "0") != "0":
        raise UnknownError("what a user starts cannot leave the user's slice; log in as root")
    if not machine.has("/run/systemd/system"):
        raise UnknownError("without systemd no slice holds the other processes together")
    try:
        made = cpu_plan.of(machine)
    except topology.PlanError as error:
        raise UnknownError(str(error)) from error
    return cpu_list(made.measured) if _is_cgroup(spot.path) else f"{cpu_list(made.housekeeping)}{_HERE}"


def read(machine: Machine, path: str) -> str:
    """Return the CPUs that a slice or the measured cgroup really has, and whether systemd was told here."""
    if _is_cgroup(path):
        return _given(machine, path) if machine.has(path) else NONE
    told = [_text(machine, one) for one in _drop_ins(machine, path)]
    if machine.has(f"{ROOT}/{path}"):
        found = _given(machine, f"{ROOT}/{path}")
    else:  # not in use at the moment: it has them when it is
        found = (told[0].rpartition("AllowedCPUs=")[2].strip() if told else "") or ALL
    return found + (_HERE if told else "")


def write(machine: Machine, path: str, text: str) -> None:
    """Set one place."""
    write_all(machine, [path], text)


def write_all(machine: Machine, paths: Sequence[str], text: str) -> None:
    """Set several: systemd reads its files again once for all."""
    units = [path for path in paths if not _is_cgroup(path)]
    for path in paths:
        if path not in units:
            _make(machine, path, text)
    if not units:
        return
    cpus, here, _ = text.partition(_HERE)
    # The kernel takes no CPUs back from a cgroup with processes, but lets it have all.
    steps = [_text(machine, _ONLINE), ""] if cpus == ALL else [cpus]
    for unit in units:
        if here or machine.has(f"{ROOT}/{unit}"):  # telling one that is not in use would start it
            for allowed in steps:
                machine.systemctl(["set-property", "--runtime", unit, f"AllowedCPUs={allowed}"])
    if not here:
        for path in [path for unit in units for path in _drop_ins(machine, unit)]:
            machine.delete(path)
        with contextlib.suppress(OSError):
            machine.remove_folder(_CONTROL)
        machine.systemctl(["daemon-reload"])


def between(text: str, one: str, other: str) -> bool:
    """Say whether systemd was told and its file is still there, or the cgroup is there without its CPUs."""
    return text == (ALL if NONE in {one, other} else f"{ALL}{_HERE}")


def find_in_measured(machine: Machine, place: Place) -> List[Spot]:
    """Return a file that is there once the measured cgroup is."""
    return [Spot(place.path, "", place)] if _has_cpusets(machine) else []


def read_partition(machine: Machine, path: str) -> str:
    """Return what the measured cgroup is: as any, while there is none."""
    return machine.read(path) if machine.has(path) else MEMBER


def write_partition(machine: Machine, path: str, text: str) -> None:
    """Make the measured cgroup a partition, or a member of its parent's."""
    if text == MEMBER and not machine.has(path):
        return
    try:
        machine.write(path, text)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise OSError(errno.EOPNOTSUPP, f"this kernel has no partition {text} (6.1 has)") from error


def _make(machine: Machine, path: str, text: str) -> None:
    if text == NONE:
        _remove(machine, path)
        return
    machine.make_folder(path)
    machine.write(f"{path}/cpuset.cpus", text)
    for name in _CONTROLLERS:
        with contextlib.suppress(OSError):  # memory and io are for samples alone; cpuset shows at each start
            machine.write(f"{path}/cgroup.subtree_control", f"+{name}")


def _remove(machine: Machine, path: str) -> None:
    if not machine.has(path):
        return
    try:
        for procs in machine.find(f"{path}/*/cgroup.procs"):
            machine.remove_folder(procs.rpartition("/")[0])
        machine.remove_folder(path)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        raise OSError(errno.EBUSY, "something measured still runs in it; stop the DBMS first") from error


def _given(machine: Machine, folder: str) -> str:
    """Return the CPUs that a cgroup has, where it was told which and not just of all."""
    told = _text(machine, f"{folder}/cpuset.cpus")
    return ALL if told in {"", _text(machine, _ONLINE)} else _text(machine, f"{folder}/cpuset.cpus.effective")


def _drop_ins(machine: Machine, unit: str) -> List[str]:
    paths = [f"{folder}/{unit}.d/{_NAME}" for folder in _FOLDERS]
    return [path for path in paths if machine.has(path)]


def _has_cpusets(machine: Machine) -> bool:
    return "cpuset" in _text(machine, f"{ROOT}/cgroup.controllers").split()


def _is_cgroup(path: str) -> bool:
    return path.startswith("/")


def _text(machine: Machine, path: str) -> str:
    with contextlib.suppress(OSError):
        return machine.read(path).strip()
    return ""
