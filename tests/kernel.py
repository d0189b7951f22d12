"""A machine of files that takes writes as the kernel does: refusals, side effects, settings that are fixed.

The rules follow the kernel's documentation and sources; the machines are generated (tests/machines.py), none
is a dump of a real one. What only hardware can show is not shown here.
"""

from __future__ import annotations

import errno
import os
import re
from typing import TYPE_CHECKING, Any

from benchctl.agent.forms import cpu_list, cpus, meaning
from benchctl.agent.machine import Machine, by_number
from tests.kernel_calls import Calls
from tests.kernel_cgroups import ROOT, CgroupTree

if TYPE_CHECKING:
    from collections.abc import Sequence

CPU = "/sys/devices/system/cpu"
CPUFREQ = f"{CPU}/cpufreq"
VM = "/proc/sys/vm"
KERNEL = "/proc/sys/kernel"
_TWINS = {
    f"{VM}/dirty_bytes": f"{VM}/dirty_ratio",
    f"{VM}/dirty_background_bytes": f"{VM}/dirty_background_ratio",
}
_RULES = {
    rf"{CPUFREQ}/policy\d+/.*": "_policy",
    f"{CPU}/intel_pstate/status": "_mode",
    rf"{CPU}/(intel_pstate/no_turbo|cpufreq/boost)": "_boost",
    f"{CPU}/smt/control": "_smt",
    "/proc/irq/.*": "_irq",
    rf"{VM}/dirty_(background_)?(bytes|ratio)": "_dirty",
    f"{KERNEL}/perf_event_max_sample_rate": "_sample_rate",
    rf"{KERNEL}/(nmi_|soft_)?watchdog": "_watchdog",
    ".*/cpumask": "_mask",
    f"{ROOT}/.*": "_cgroup",
    ".*/(rps|xps)_cpus": "_mask",
    ".*/cpuidle/state[0-9]+/disable": "_switch",
}


class KernelTree(Machine):
    """A tree of files in memory, with a kernel's rules for writes."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, str] = {}
        self.links: dict[str, str] = {}
        self.folders: set[str] = set()
        self.read_only: set[str] = set()  # EROFS, as of a container
        self.forbidden: set[str] = set()  # EACCES
        self.ignored: set[str] = set()  # taken and not done, as by a hypervisor
        self.managed: set[str] = set()  # numbers of interrupts that a driver manages
        self.vanishing: set[str] = set()  # go with the next write
        self.rounded: dict[str, str] = {}  # path -> what the kernel makes of any value
        self.writes: list[tuple[str, str]] = []
        self.limit = -1  # writes until the power goes: -1 never
        self._epp: dict[str, str] = {}  # policy -> what the governor powersave had
        self._max: dict[str, str] = {}  # policy -> the highest frequency that was asked for
        self._away: dict[str, str] = {}  # files of CPUs that are offline
        self._waiting: set[str] = set()  # timers; no file tells of them
        self._held = "free"
        self.calls = Calls(self)
        self.cgroups = CgroupTree(self)

    # --- the tree itself

    def put(self, files: dict[str, str]) -> None:
        for path, text in files.items():
            self.files[path] = text if text.endswith("\n") or not text else f"{text}\n"
            parts = path.split("/")
            self.folders.update("/".join(parts[:length]) for length in range(2, len(parts)))

    def remove(self, path: str) -> None:
        self.files.pop(path, None)
        self.links.pop(path, None)

    def image(self) -> dict[str, str]:
        """Everything that the tree shows, byte for byte."""
        calls = {"cards": str(self.calls.cards), "audit": str(self.calls.audited)}
        return {
            **self.files,
            **self.links,
            **calls,
            "held": self._held,
            "timers": " ".join(sorted(self._waiting)),
        }

    def text(self, path: str) -> str:
        return self.files[path].strip()

    def read(self, path: str) -> str:
        if path not in self.files:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return self.files[path]

    def has(self, path: str) -> bool:
        return path in self.files or path in self.links or path in self.folders

    def link(self, path: str) -> str:
        return self.links.get(path, "")

    def find(self, pattern: str) -> list[str]:
        if "*" not in pattern:
            return [pattern] if self.has(pattern) else []
        wanted = re.compile(pattern.replace(".", r"\.").replace("*", "[^/]*"))
        return sorted(filter(wanted.fullmatch, {*self.files, *self.folders}), key=by_number)

    # --- writes

    def write(self, path: str, text: str) -> None:
        self._count(path, text)
        if path in self.read_only:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        if path in self.forbidden:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        if not self.has(path):
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        for gone in self.vanishing:
            self.remove(gone)
        if path in self.ignored or path in self.vanishing:
            return
        self._rule(path, self.rounded.get(path, text.strip()))

    def _count(self, path: str, text: str) -> None:
        if not self.limit:
            raise PowerCut
        self.limit -= 1
        self.writes.append((path, text))

    def _rule(self, path: str, text: str) -> None:
        if "[" in self.text(path):
            self._bracket(path, text)
            return
        for pattern, rule in _RULES.items():
            if re.fullmatch(pattern, path):
                getattr(self, rule)(path, text)
                return
        self._plain(path, text)

    def _boost(self, path: str, text: str) -> None:
        self._number(path, text, 0, 1)
        for folder in self.find(f"{CPUFREQ}/policy[0-9]*"):
            self._limit(folder)

    def _switch(self, path: str, text: str) -> None:
        self._number(path, text, 0, 1)

    def _sample_rate(self, path: str, text: str) -> None:
        if self.text(f"{KERNEL}/perf_cpu_time_max_percent") in {"0", "100"}:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._number(path, text, 1, 10**9)

    def _policy(self, path: str, text: str) -> None:
        folder, _, name = path.rpartition("/")
        if name == "scaling_governor":
            self.one_of(text, self.text(f"{folder}/scaling_available_governors"))
            self.put({path: text})
            self._fix_epp(folder, text)
        elif name == "energy_performance_preference":
            self.one_of(text, self.text(f"{folder}/energy_performance_available_preferences"))
            if self._is_fixed(folder) and text != "performance":
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
            self.put({path: text})
        else:
            self._frequency(folder, name, text)

    def _is_fixed(self, folder: str) -> bool:
        driver = self.text(f"{folder}/scaling_driver")
        return driver == "intel_pstate" and self.text(f"{folder}/scaling_governor") == "performance"

    def _fix_epp(self, folder: str, governor: str) -> None:
        path = f"{folder}/energy_performance_preference"
        if self.text(f"{folder}/scaling_driver") != "intel_pstate" or not self.has(path):
            return
        if governor == "performance":
            self._epp.setdefault(folder, self.text(path))
            self.put({path: "performance"})
        elif folder in self._epp:
            self.put({path: self._epp.pop(folder)})

    def _frequency(self, folder: str, name: str, text: str) -> None:
        if not text.isdigit():
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        low, high = (int(self.text(f"{folder}/scaling_{one}_freq")) for one in ("min", "max"))
        if (name == "scaling_min_freq" and int(text) > high) or (
            name == "scaling_max_freq" and int(text) < low
        ):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if name == "scaling_max_freq":
            self._max[folder] = text
            self._limit(folder)
        else:
            self.put({f"{folder}/{name}": text})

    def _limit(self, folder: str) -> None:
        """Without boost no policy shows more than the base frequency, whatever was asked for."""
        path = f"{folder}/scaling_max_freq"
        asked = self._max.setdefault(folder, self.text(path))
        base = self.base(folder)
        off = (
            self.has(f"{CPU}/intel_pstate/no_turbo") and self.text(f"{CPU}/intel_pstate/no_turbo") == "1"
        ) or (self.has(f"{CPUFREQ}/boost") and self.text(f"{CPUFREQ}/boost") == "0")
        self.put({path: str(min(int(asked), base)) if off and base else asked})

    def base(self, folder: str) -> int:
        if self.has(f"{folder}/base_frequency"):
            return int(self.text(f"{folder}/base_frequency"))
        if self.has(f"{folder}/scaling_available_frequencies"):
            return int(self.text(f"{folder}/scaling_available_frequencies").split()[1])
        return 0

    def _mode(self, _: str, text: str) -> None:
        """Another mode is another driver: its policies begin anew."""
        self.one_of(text, "active passive off")
        self.put({f"{CPU}/intel_pstate/status": text})
        active = text == "active"
        for folder in self.find(f"{CPUFREQ}/policy[0-9]*"):
            driver, governors = ("intel_pstate", "performance powersave")
            if not active:
                driver, governors = ("intel_cpufreq", "performance powersave schedutil")
            self.put(
                {
                    f"{folder}/scaling_driver": driver,
                    f"{folder}/scaling_available_governors": governors,
                    f"{folder}/scaling_governor": "powersave" if active else "schedutil",
                    f"{folder}/energy_performance_preference": "balance_performance",
                    f"{folder}/scaling_min_freq": self.text(f"{folder}/cpuinfo_min_freq"),
                }
            )
            self._epp.pop(folder, None)
            self._max[folder] = self.text(f"{folder}/cpuinfo_max_freq")
            self._limit(folder)

    def _smt(self, path: str, text: str) -> None:
        if self.text(path) not in {"on", "off"}:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        self.one_of(text, "on off")
        if text == self.text(path):
            return
        siblings = {max(cpus(self.text(p))) for p in self.find(f"{CPU}/cpu[0-9]*/topology/core_cpus_list")}
        for folder in self.find(f"{CPUFREQ}/policy[0-9]*") if text == "off" else ():
            if int(folder.rsplit("policy", 1)[1]) in siblings:
                self._unplug(folder)
        if text == "on":
            self.put(
                {name: text for name, text in self._away.items() if not name.endswith("scaling_governor")}
            )
            self.put(
                {name: "powersave" for name in self._away if name.endswith("scaling_governor")}
            )  # a CPU that comes back begins with the default
            self._away.clear()
        everyone = cpus(self.text(f"{CPU}/present"))
        self.put({path: text, f"{CPU}/online": cpu_list(everyone - siblings if text == "off" else everyone)})

    def _unplug(self, folder: str) -> None:
        for path in self.find(f"{folder}/*"):
            self._away[path] = self.files.pop(path)
        self.folders.discard(folder)

    def _irq(self, path: str, text: str) -> None:
        number = path.split("/")[3]
        if number in self.managed:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if path.endswith("default_smp_affinity"):
            self._mask(path, text)
            return
        try:
            chosen = cpus(text)
        except ValueError as error:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL)) from error
        if not chosen & cpus(self.text(f"{CPU}/online")):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self.put({path: cpu_list(chosen)})

    def _dirty(self, path: str, text: str) -> None:
        """Bytes and ratio are one limit: setting one clears the other, and bytes cannot be 0."""
        low = 1 if "background" in path else 8192
        if path in _TWINS:
            self._number(path, text, low, 1 << 62)
            self.put({_TWINS[path]: "0"})
            return
        changed = self.text(path) != text
        self._number(path, text, 0, 100)
        if changed:
            self.put({twin: "0" for twin, ratio in _TWINS.items() if ratio == path})

    def _watchdog(self, path: str, text: str) -> None:
        self._number(path, text, 0, 1)
        pair = [f"{KERNEL}/nmi_watchdog", f"{KERNEL}/soft_watchdog"]
        if path == f"{KERNEL}/watchdog":
            self.put(dict.fromkeys(pair, text))
        else:
            self.put({f"{KERNEL}/watchdog": str(int(any(self.text(one) == "1" for one in pair)))})

    def _bracket(self, path: str, text: str) -> None:
        words = self.text(path).replace("[", "").replace("]", "").split()
        self.one_of(text, " ".join(words))
        if meaning("bracket", self.text(path)) == text:
            return
        self.put({path: " ".join(f"[{word}]" if word == text else word for word in words)})
        if path.endswith("/scheduler"):  # a new scheduler comes with queues of its own
            self.put({path.replace("scheduler", "nr_requests"): "1023" if text == "none" else "256"})

    def _mask(self, path: str, text: str) -> None:
        width = len(self.text(path).replace(",", ""))
        try:
            digits = f"{int(text.replace(',', ''), 16):0{width}x}"
        except ValueError as error:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL)) from error
        first = len(digits) % 8 or 8
        chunks = [digits[:first], *(digits[at : at + 8] for at in range(first, len(digits), 8))]
        self.put({path: ",".join(chunks)})

    def _cgroup(self, path: str, text: str) -> None:
        self.cgroups.write(path, text)

    def _plain(self, path: str, text: str) -> None:
        old = self.text(path)
        if old.lstrip("-").isdigit():
            self._number(path, text, -1, 1 << 62)
        elif "\t" in old:
            self.put({path: "\t".join(text.split())})
        else:
            self.put({path: text})

    def _number(self, path: str, text: str, low: int, high: int) -> None:
        if not text.lstrip("-").isdigit() or not low <= int(text) <= high:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self.put({path: str(int(text))})

    @staticmethod
    def one_of(text: str, words: str) -> None:
        if text not in words.split():
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    # --- units and the held request

    def set_units(self, names: Sequence[str], state: str) -> None:
        for name in names:
            self._count(name, state)
            if name in self.forbidden:
                raise OSError(errno.EPERM, os.strerror(errno.EPERM))
            mask, running = f"/run/systemd/system/{name}", f"/run/systemd/units/invocation:{name}"
            self.remove(mask)
            self.remove(running)
            if "masked" in state:
                self.links[mask] = "/dev/null"
            self._waiting.discard(name)
            if "active" in state.split() and name.endswith(".timer"):
                self._waiting.add(name)
            elif "active" in state.split():
                self.links[running] = "0" * 32

    def systemctl(self, words: Sequence[str]) -> str:
        self._count("systemctl", " ".join(words))
        if words[-1] in self.forbidden:
            raise OSError(errno.EIO, f"Job for {words[-1]} failed.")
        return self.cgroups.systemctl(words)

    def timers(self) -> frozenset[str]:
        return frozenset(self._waiting)

    def call(self, name: str, *arguments: Any) -> Any:
        if not self.calls.is_question(name, arguments):
            self._count(name, " ".join(map(str, arguments)))
        if name in self.forbidden:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        return getattr(self.calls, name)(*arguments)

    def create(self, path: str, text: str) -> None:
        self._count(path, text)
        self.put({path: text})

    def delete(self, path: str) -> None:
        self._count(path, "")
        self.remove(path)
        parent = path.rpartition("/")[0]
        if not any(one.startswith(f"{parent}/") for one in (*self.files, *self.folders)):
            self.folders.discard(parent)

    def make_folder(self, path: str) -> None:
        self._count(path, "")
        self.cgroups.make(path)

    def remove_folder(self, path: str) -> None:
        self._count(path, "")
        if path.startswith(ROOT):
            self.cgroups.remove(path)
        elif not any(one.startswith(f"{path}/") for one in (*self.files, *self.folders)):
            self.folders.discard(path)
        else:
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))

    def command(self, words: Sequence[str], limit: float) -> str:
        """The boot loader takes its drop-ins over, as update-grub does."""
        self._count(words[0], f"{limit:g}")
        if words[0] in self.forbidden:
            raise OSError(errno.EIO, "grub-probe: error: cannot find a device")
        lines = [self.text(path).splitlines()[-1:] for path in self.find("/etc/default/grub.d/*.cfg")]
        told = "".join(f" {line[0].split(maxsplit=1)[1][:-1]}" for line in lines if line and '"' in line[0])
        self.put({"/boot/grub/grub.cfg": f"linux /vmlinuz root=LABEL=ROOT ro quiet{told}"})
        return ""

    def reboot(self) -> None:
        """Boot with what the boot loader has; everything else is as the caller makes it."""
        told = self.text("/boot/grub/grub.cfg").partition(" ")[2]
        words = dict(word.split("=") for word in told.split() if word.count("=") == 1)
        self.put({"/proc/cmdline": f"BOOT_IMAGE={told}"})
        for name, file in (("nohz_full", "nohz_full"), ("isolcpus", "isolated")):
            self.put({f"{CPU}/{file}": words.get(name, "") or "\n"})

    def held(self) -> str:
        super().held()
        return self._held

    def hold(self, value: str) -> None:
        self._count("/dev/cpu_dma_latency", value)
        self._held = value


class PowerCut(BaseException):
    """The program ends here, as by SIGKILL: nothing after it is done."""
