"""Words of the kernel's command line: in the boot loader's configuration, and in force after a reboot.

Owns the drop-ins of GRUB as Debian has it: tuning's own, and the form of any. Tuning's are the only settings
that outlive a reboot. Must not reboot: who asked for it decides that.
"""

import contextlib
import errno
from typing import List, Optional, Sequence, Set

from benchctl.agent import cpu_plan, topology
from benchctl.agent.forms import cpu_list
from benchctl.agent.knob import Place, Spot, UnknownError
from benchctl.agent.machine import Machine

FOLDER = "/etc/default/grub.d"
FILE = f"{FOLDER}/benchctl.cfg"
NONE = "none"
LATER = " after a reboot"  # the words stand in the drop-in, and the kernel that runs was not told
_BEFORE, _AFTER = 'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT ', '"\n'
_DIRTY = "# update-grub has not run since this was written"
_UPDATE = "/usr/sbin/update-grub"
_SHOWN = {"nohz_full": "/sys/devices/system/cpu/nohz_full", "isolcpus": "/sys/devices/system/cpu/isolated"}
_UPDATE_LIMIT = 240.0  # seconds: it looks for the kernels and systems of all disks


def drop_in(words: Sequence[str]) -> str:
    """Return the text of a drop-in; the words have no meaning for a shell."""
    return f"{_BEFORE}{' '.join(words)}{_AFTER}"


def find(_: Machine, place: Place) -> List[Spot]:
    """Return the drop-in, there or not."""
    return [Spot(place.path, "", place)]


def wanted(machine: Machine, spot: Spot, value: str) -> Optional[str]:
    """Return the words of a value on this host. Raises UnknownError where nothing takes them.

    A drop-in beside that of the plan is named by the one word that it holds: benchctl-mitigations.cfg.
    """
    if not machine.has(_UPDATE) or not machine.has(FOLDER):
        raise UnknownError("its boot loader is not GRUB as Debian has it (update-grub, /etc/default/grub.d)")
    if spot.path != FILE:
        return f"{spot.path[len(FOLDER) + len('/benchctl-') : -len('.cfg')]}={value}"
    try:
        cpus = cpu_list(cpu_plan.of(machine).measured)
    except topology.PlanError as error:
        raise UnknownError(str(error)) from error
    words = [f"nohz_full={cpus}", f"rcu_nocbs={cpus}", "skew_tick=1"]
    return " ".join([f"isolcpus={cpus}", *words] if value == "isolcpus" else words)


def read(machine: Machine, path: str) -> str:
    """Return the drop-in's words, and what keeps them from being in force; NONE without it."""
    if not machine.has(path):
        return NONE
    text = _text(machine, path)
    words = _words(text)
    shown = " ".join(words) or NONE
    if text.startswith(_DIRTY):
        return f"{shown}, not taken over yet"
    if not set(words) <= _told(machine):
        return f"{shown}{LATER}"
    ignored = _ignored(machine, words)
    return f"{shown}, but the kernel ignores {' and '.join(ignored)}" if ignored else shown


def write(machine: Machine, path: str, text: str) -> None:
    """Make or remove the drop-in, and have the boot loader take it over.

    Raises OSError, also EINPROGRESS: done, and in force after a reboot.
    """
    words = [] if text == NONE else text.split()
    known = read(machine, path)
    if _plain(known) != text or known.endswith("yet"):
        then = drop_in(words) if words else ""
        machine.create(path, f"{_DIRTY}\n{then}")  # after a crash it is known that update-grub must run
        machine.command([_UPDATE], _UPDATE_LIMIT)
        if words:
            machine.create(path, then)
        else:
            machine.delete(path)
    if read(machine, path).endswith(LATER):
        raise OSError(errno.EINPROGRESS, "it is in force after a reboot")


def between(text: str, one: str, other: str) -> bool:
    """Say whether a text has the words of one or the other, in force or not."""
    return _plain(text) in {_plain(one), _plain(other)}


def lingers(machine: Machine, text: str) -> bool:
    """Say whether the kernel that runs has words that are no longer to be."""
    words = _plain(text)
    return words != NONE and set(words.split()) <= _told(machine)


def _told(machine: Machine) -> Set[str]:
    return set(_text(machine, "/proc/cmdline").split())


def _plain(text: str) -> str:
    """Return the words of what `read` says, or NONE."""
    return text.partition(", ")[0].partition(LATER)[0]


def _words(text: str) -> List[str]:
    last = text.splitlines()[-1:]
    line = last[0] if last else ""
    start, end = _BEFORE.strip(), _AFTER.strip()
    return line[len(start) : -len(end)].split() if line.startswith(start) and line.endswith(end) else []


def _ignored(machine: Machine, words: Sequence[str]) -> List[str]:
    """Return the names of words that the kernel shows otherwise than it was told."""
    pairs = [word.partition("=") for word in words]
    return [name for name, _, cpus in pairs if name in _SHOWN and _text(machine, _SHOWN[name]) != cpus]


def _text(machine: Machine, path: str) -> str:
    with contextlib.suppress(OSError):
        return machine.read(path).strip()
    return ""
