"""The kinds of knobs as one table: how each is found, read and set.

Owns the table, and the kinds that Machine has a method for. Must not know any knob.
"""

from typing import Callable, Dict, List, NamedTuple, Optional, Sequence

from benchctl.agent import boot_loader, cpusets, logs, mounts, nic, nodes, swap
from benchctl.agent.knob import Place, Spot, UnknownError
from benchctl.agent.machine import Machine, half_way


class Kind(NamedTuple):
    """How the knobs of one kind are reached. All functions raise OSError with the kernel's number."""

    read: Callable[[Machine, str], str]  # the setting that a path shows
    write: Callable[[Machine, str, str], None]
    find: Optional[Callable[[Machine, Place], List[Spot]]] = None  # None: the files that its path matches
    wanted: Optional[Callable[[Machine, Spot, str], Optional[str]]] = None
    """Return what a value is in a place; None for what means the same everywhere. Raises UnknownError."""
    between: Optional[Callable[[str, str, str], bool]] = None
    """Say whether a text can be what a crash leaves between two others, where one takes several writes."""
    together: Optional[Callable[[Machine, Sequence[str], str], None]] = None  # writes one text to many paths
    lingers: Optional[Callable[[Machine, str], bool]] = None
    """Say whether a text that was set still works, though its place no longer shows it: until a reboot."""


def of(name: str) -> Kind:
    """Return the kind of that name."""
    return KINDS[name]


def _read(machine: Machine, path: str) -> str:
    return machine.read(path)


def _write(machine: Machine, path: str, text: str) -> None:
    machine.write(path, text)


def _is_too_deep(machine: Machine, spot: Spot, microseconds: str) -> str:
    """Return what the file `disable` of an idle state wants for the longest wake-up that shall remain."""
    try:
        latency = int(machine.read(f"{spot.path.rpartition('/')[0]}/latency"))
    except (OSError, ValueError) as error:
        raise UnknownError("the driver does not tell how long it takes to wake up") from error
    return str(int(latency > int(microseconds)))


def _find_unit(machine: Machine, place: Place) -> List[Spot]:
    folder = machine.unit_folder(place.path)
    link = machine.link(f"{folder}/{place.path}").rpartition("/")[2] if folder else ""
    is_alias = link not in {"", "null", place.path}  # the unit that it stands for has a row as well
    return [] if not folder or is_alias else [Spot(place.path, "", place)]


def _read_unit(machine: Machine, name: str) -> str:
    return machine.unit_state(name)


def _write_unit(machine: Machine, name: str, state: str) -> None:
    machine.set_units([name], state)


def _write_units(machine: Machine, names: Sequence[str], state: str) -> None:
    machine.set_units(names, state)


def _between_units(text: str, one: str, other: str) -> bool:
    return text in half_way(one, other) | half_way(other, one)


def _read_held(machine: Machine, _: str) -> str:
    return machine.held()


def _hold(machine: Machine, _: str, text: str) -> None:
    machine.hold(text)


KINDS: Dict[str, Kind] = {
    "file": Kind(_read, _write),
    "recorded": Kind(_read, _write),
    "unit": Kind(_read_unit, _write_unit, find=_find_unit, between=_between_units, together=_write_units),
    "held": Kind(_read_held, _hold),  # a request that lasts as long as a process holds it
    "cpuset": Kind(
        cpusets.read,
        cpusets.write,
        find=cpusets.find,
        wanted=cpusets.wanted,
        between=cpusets.between,
        together=cpusets.write_all,
    ),
    "nodes": Kind(nodes.read, nodes.write, find=cpusets.find_in_measured, wanted=nodes.wanted),
    "partition": Kind(cpusets.read_partition, cpusets.write_partition, find=cpusets.find_in_measured),
    "boot": Kind(
        boot_loader.read,
        boot_loader.write,
        find=boot_loader.find,
        wanted=boot_loader.wanted,
        between=boot_loader.between,
        lingers=boot_loader.lingers,
    ),
    "swap": Kind(swap.read, swap.write, between=swap.between),
    "mount": Kind(mounts.read, mounts.write, find=mounts.find),
    "nic": Kind(nic.read, nic.write, find=nic.find, wanted=nic.wanted),
    "idle": Kind(_read, _write, wanted=_is_too_deep),
    "journald": Kind(logs.read_journald, logs.write_journald, find=logs.find_journald, between=logs.between),
    "audit": Kind(logs.read_audit, logs.write_audit, find=logs.find_audit),
}
