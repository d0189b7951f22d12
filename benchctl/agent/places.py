"""Where a knob lies on this host, and what a profile's word means in each place.

Owns the patterns of paths and the words that depend on the host: base, max, housekeeping, device.
"""

import contextlib
import re
from typing import Dict, FrozenSet, List, Optional

from benchctl.agent import kinds, topology
from benchctl.agent.forms import cpu_list, cpu_mask, cpus
from benchctl.agent.knob import Knob, Place, Spot, UnknownError
from benchctl.agent.machine import Machine

_NAMES = {
    "{cpu}": "cpu[0-9]*",
    "{policy}": "policy[0-9]*",
    "{irq}": "[0-9]*",
    "{disk}": "*",
    "{nic}": "*",
    "{uncore}": "*",
}
_OF_DEVICES = {"{disk}": "/sys/block", "{nic}": "/sys/class/net"}  # others are made of software
_BOOST_MARK = 1000  # kHz: acpi-cpufreq lists the boost range as the base frequency and 1 MHz
_UNCORE = "/sys/devices/system/cpu/intel_uncore_frequency"
_CPUFREQ = "/sys/devices/system/cpu/cpufreq"


def spots(machine: Machine, knob: Knob) -> List[Spot]:
    """Return where a knob lies on this host; nothing when it has no such knob."""
    found: List[Spot] = []
    find = kinds.of(knob.kind).find or _matches
    for place in knob.places:
        with contextlib.suppress(OSError):  # what would tell is not there either
            found += find(machine, place)
        if found and knob.first:
            break
    return found


class Words:
    """What words mean on one host; the topology is read once."""

    def __init__(self, machine: Machine) -> None:
        """Read nothing yet."""
        self._machine = machine
        self._housekeeping: Optional[FrozenSet[int]] = None

    def kernel_text(self, knob: Knob, spot: Spot, value: str) -> str:
        """Return what the kernel wants to read for a value. Raises UnknownError."""
        wanted = kinds.of(knob.kind).wanted
        text = wanted(self._machine, spot, value) if wanted else None
        return self._word(knob, spot, value) if text is None else text

    def _word(self, knob: Knob, spot: Spot, value: str) -> str:
        words = dict(spot.place.words)
        if value in words:
            return words[value]
        if value == "housekeeping":
            return self._as(knob.form, self._kept())
        if knob.form == "mask":
            return cpu_mask(cpus(value))
        if value == "device":
            return "mq-deadline" if self._text(f"/sys/block/{spot.name}/queue/rotational") == "1" else "none"
        if value in {"base", "max"}:
            return self._frequency(value, spot)
        return value

    def _kept(self) -> FrozenSet[int]:
        if self._housekeeping is None:
            cores = topology.read_cores(self._machine)
            try:
                self._housekeeping = topology.housekeeping(cores)
            except topology.PlanError as error:
                raise UnknownError(str(error)) from error
        return self._housekeeping

    @staticmethod
    def _as(form: str, numbers: FrozenSet[int]) -> str:
        return cpu_mask(numbers) if form == "mask" else cpu_list(numbers)

    def _frequency(self, word: str, spot: Spot) -> str:
        if spot.path.startswith(_UNCORE):
            return self._told(f"{_UNCORE}/{spot.name}/initial_max_freq_khz", word)
        folder = f"{_CPUFREQ}/{spot.name}"
        if word == "max":
            return self._told(f"{folder}/cpuinfo_max_freq", word)
        base = self._text(f"{folder}/base_frequency") or self._nominal(spot.name) or self._highest(folder)
        if not base:
            raise UnknownError("the driver does not tell the base frequency")
        return base

    def _nominal(self, policy: str) -> str:
        cpu = policy.replace("policy", "cpu")
        megahertz = self._text(f"/sys/devices/system/cpu/{cpu}/acpi_cppc/nominal_freq")
        return f"{megahertz}000" if megahertz.isdigit() and megahertz != "0" else ""

    def _highest(self, folder: str) -> str:
        listed = self._text(f"{folder}/scaling_available_frequencies").split()
        numbers = [int(word) for word in listed if word.isdigit()]
        base = [number for number in numbers if number - _BOOST_MARK not in numbers]
        return str(max(base)) if base else ""

    def _told(self, path: str, word: str) -> str:
        found = self._text(path)
        if not found:
            raise UnknownError(f"the driver does not tell what {word} is")
        return found

    def _text(self, path: str) -> str:
        with contextlib.suppress(OSError):
            return self._machine.read(path).strip()
        return ""


def _matches(machine: Machine, place: Place) -> List[Spot]:
    variable = next((name for name in _NAMES if name in place.path), "")
    if not variable:
        return [Spot(path, "", place) for path in machine.find(place.path)]
    before, _, after = place.path.partition(variable)
    tail = re.compile(re.escape(after).replace(r"\*", "[^/]*"))
    found = []
    for path in machine.find(f"{before}{_NAMES[variable]}{after}"):
        name = tail.sub("", path[len(before) :]) if after else path[len(before) :]
        folder = _OF_DEVICES.get(variable)
        if folder is None or machine.has(f"{folder}/{name}/device"):
            found.append(Spot(path, name, place))
    return found


def distinct(texts: List[str]) -> Dict[str, int]:
    """Count equal texts, the most frequent first."""
    found: Dict[str, int] = {}
    for text in texts:
        found[text] = found.get(text, 0) + 1
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
