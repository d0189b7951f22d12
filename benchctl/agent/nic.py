"""Network cards: queues, rings, coalescing and offloads by the ethtool ioctl, and the largest packet.

Owns the layouts of those requests (include/uapi/linux/ethtool.h) and the care for the link: many drivers take
it down for such a change. Must not touch what is no device: the loopback, bridges, tunnels.
"""

import contextlib
import errno
import time
from typing import Callable, Dict, List, NamedTuple, Optional

from benchctl.agent.knob import Place, Spot
from benchctl.agent.machine import Machine

LINK_LIMIT = 15.0  # seconds for a link to come up again; negotiating takes 2 to 5
_PAUSE = 0.01  # seconds between two looks at it
_CARDS = "/sys/class/net"
_SWITCH = {"0": "off", "1": "on"}


class Field(NamedTuple):
    """One value in the 32-bit words of a request; the first word is its command."""

    get: int
    set: int
    words: int
    at: int
    limit: int = 0  # which word holds its highest value; 0 where none does
    bit: int = 0  # of a word of flags
    is_switch: bool = False


FIELDS: Dict[str, Field] = {
    "channels/combined": Field(0x3C, 0x3D, 9, 8, limit=4),
    "channels/rx": Field(0x3C, 0x3D, 9, 5, limit=1),
    "channels/tx": Field(0x3C, 0x3D, 9, 6, limit=2),
    "ring/rx": Field(0x10, 0x11, 9, 5, limit=1),
    "ring/tx": Field(0x10, 0x11, 9, 8, limit=4),
    "coalesce/adaptive-rx": Field(0x0E, 0x0F, 23, 10, is_switch=True),
    "coalesce/adaptive-tx": Field(0x0E, 0x0F, 23, 11, is_switch=True),
    "coalesce/rx-usecs": Field(0x0E, 0x0F, 23, 1),
    "coalesce/tx-usecs": Field(0x0E, 0x0F, 23, 5),
    "offload/gro": Field(0x2B, 0x2C, 2, 1, is_switch=True),
    "offload/lro": Field(0x25, 0x26, 2, 1, bit=1 << 15, is_switch=True),
}


def find(machine: Machine, place: Place) -> List[Spot]:
    """Return the cards of this host that are devices."""
    before, _, after = place.path.partition("{nic}")
    names = [path.rpartition("/")[2] for path in machine.find(f"{_CARDS}/*")]
    return [
        Spot(f"{before}{name}{after}", name, place)
        for name in names
        if machine.has(f"{_CARDS}/{name}/device")
    ]


def wanted(machine: Machine, spot: Spot, value: str) -> Optional[str]:
    """Return the highest value for `max`."""
    if value != "max":
        return None
    with contextlib.suppress(OSError):
        field = _field(spot.path)
        return str(_request(machine, spot.path, field)[field.limit])
    return None


def read(machine: Machine, path: str) -> str:
    """Return the value, of a switch on or off. Raises OSError: EOPNOTSUPP where the driver has none."""
    if path.startswith("/"):
        return machine.read(path)
    field = _field(path)
    words = _request(machine, path, field)
    if field.limit and not words[field.limit]:
        raise OSError(errno.EOPNOTSUPP, "this card has none")
    value = str(int(bool(words[field.at] & field.bit)) if field.bit else words[field.at])
    return _SWITCH[value] if field.is_switch else value


def write(machine: Machine, path: str, text: str) -> None:
    """Set the value; put the old one back and raise ENETDOWN when the link does not come up with it."""
    if path.startswith("/"):
        old = machine.read(path)
        _keep_link(machine, path, lambda new: machine.write(path, new), text, old.strip())
        return
    field = _field(path)

    def change(new: str) -> None:
        words = _request(machine, path, field)
        words[0] = field.set
        number = int(new == "on") if field.is_switch else int(new)
        words[field.at] = _with_bit(words[field.at], field.bit, on=bool(number)) if field.bit else number
        machine.call("ethtool", _card(path), words)

    _keep_link(machine, path, change, text, read(machine, path))


def _keep_link(machine: Machine, path: str, change: Callable[[str], None], new: str, old: str) -> None:
    was_up = _is_up(machine, path)
    change(new)
    if was_up and not _comes_up(machine, path):
        change(old)
        card = _card(path)
        raise OSError(
            errno.ENETDOWN, f"{card} had no link for {LINK_LIMIT:g} s; its old value {old} was put back"
        )


def _comes_up(machine: Machine, path: str) -> bool:
    until = time.monotonic() + LINK_LIMIT
    while not _is_up(machine, path):
        if time.monotonic() >= until:
            return False
        time.sleep(_PAUSE)
    return True


def _is_up(machine: Machine, path: str) -> bool:
    with contextlib.suppress(OSError):  # EINVAL of a card that is down
        return machine.read(f"{_CARDS}/{_card(path)}/carrier").strip() == "1"
    return False


def _card(path: str) -> str:
    return path.split("/")[4] if path.startswith("/") else path.partition(":")[2].partition("/")[0]


def _field(path: str) -> Field:
    return FIELDS[path.partition("/")[2]]


def _request(machine: Machine, path: str, field: Field) -> List[int]:
    words = [field.get, *[0] * (field.words - 1)]
    return list(machine.call("ethtool", _card(path), words))


def _with_bit(flags: int, bit: int, *, on: bool) -> int:
    return flags | bit if on else flags & ~bit
