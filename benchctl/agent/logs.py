"""What the host logs: where journald keeps its journal, and the kernel's audit.

Owns the drop-in that tells journald, and its restart: it reads its settings only then. Must not touch a file
that somebody else made.
"""

import contextlib
from typing import List

from benchctl.agent.knob import Place, Spot
from benchctl.agent.machine import Machine

_JOURNALD = "systemd-journald.service"
_SECTION = "[Journal]\n"
_NONE = "none"
_WAITING = "# not in force before the next start"
_AUDITED = "/proc/self/loginuid"  # a kernel with audit has it


def find_journald(machine: Machine, place: Place) -> List[Spot]:
    """Return the drop-in of a host that has journald, whether or not it is there."""
    return [Spot(place.path, "", place)] if machine.unit_folder(_JOURNALD) else []


def read_journald(machine: Machine, path: str) -> str:
    """Return the settings of the drop-in; none without it."""
    if not machine.has(path):
        return _NONE
    return machine.read(path).replace(_SECTION, "", 1).strip()


def write_journald(machine: Machine, path: str, text: str) -> None:
    """Write or remove the drop-in and restart journald; put the old one back when it does not come up."""
    old = read_journald(machine, path)
    try:
        _put(machine, path, text)
    except OSError:
        with contextlib.suppress(OSError):
            _put(machine, path, old)
        with contextlib.suppress(OSError):  # also where nobody restarts it
            _show(machine, path, old)
        raise


def between(text: str, _one: str, _other: str) -> bool:
    """Say whether a crash came before the restart, or in the middle of writing the file."""
    return not text or _WAITING in text


def _put(machine: Machine, path: str, text: str) -> None:
    """Let the file show its last text only when journald has read it: a crash leaves no half like a whole."""
    settings = "" if text == _NONE else f"{text}\n"
    machine.create(path, f"{_SECTION}{settings}{_WAITING}\n")
    machine.systemctl(["restart", _JOURNALD])
    _show(machine, path, text)


def _show(machine: Machine, path: str, text: str) -> None:
    if text == _NONE:
        machine.delete(path)
    else:
        machine.create(path, f"{_SECTION}{text}\n")


def find_audit(machine: Machine, place: Place) -> List[Spot]:
    """Return the one place, where the kernel can audit."""
    return [Spot(place.path, "", place)] if machine.has(_AUDITED) else []


def read_audit(machine: Machine, _: str) -> str:
    """Return 0, 1, or 2 where it is locked until the next boot."""
    return str(machine.call("audit", None))


def write_audit(machine: Machine, _: str, text: str) -> None:
    """Switch it on or off."""
    machine.call("audit", int(text))
