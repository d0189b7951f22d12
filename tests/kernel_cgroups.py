"""Version 2 of cgroups, and systemd's part in it, on a generated machine.

After Documentation/admin-guide/cgroup-v2.rst and systemd.resource-control(5): a child has files of a
controller only where its parent lets it, CPUs are the parent's without own ones, partitions want CPUs that no
sibling has.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from benchctl.agent.forms import cpu_list, cpus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.kernel import KernelTree

ROOT = "/sys/fs/cgroup"
CONTROL = "/run/systemd/system.control"
_TRANSIENT = "/run/systemd/transient"
_SLICES = ("system.slice", "user.slice", "init.scope")


class CgroupTree:
    """The hierarchy of one machine; processes are numbers in cgroup.procs."""

    def __init__(self, tree: KernelTree) -> None:
        self._tree = tree
        self.reloads = 0
        self.delegated = False  # a unit has got the controller cpuset for its own
        self._told: dict[str, str] = {}

    def begin(self, everyone: str) -> None:
        self._tree.put({f"{ROOT}/cgroup.controllers": "cpuset cpu io memory pids"})
        self._tree.put({f"{ROOT}/cgroup.subtree_control": "memory pids"})
        self._tree.put({f"{ROOT}/cpuset.cpus.effective": everyone, f"{ROOT}/cgroup.procs": "2"})
        for number, name in enumerate(_SLICES):
            self.make(f"{ROOT}/{name}")
            self._tree.put({f"{ROOT}/{name}/cgroup.procs": str(number + 10)})

    # --- folders

    def make(self, path: str) -> None:
        if self._tree.has(path):
            return
        parent = path.rpartition("/")[0]
        if not self._tree.has(parent):
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        granted = self._tree.text(f"{parent}/cgroup.subtree_control")
        self._tree.put({f"{path}/cgroup.procs": "", f"{path}/cgroup.controllers": granted})
        self._tree.put({f"{path}/cgroup.subtree_control": ""})
        if "cpuset" in granted.split():
            self._show(path)

    def remove(self, path: str) -> None:
        below = [one for one in (*self._tree.files, *self._tree.folders) if one.startswith(f"{path}/")]
        children = [one for one in below if one.count("/") > path.count("/") + 1]
        if children or self._tree.text(f"{path}/cgroup.procs"):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        for one in below:
            self._tree.remove(one)
        self._tree.folders.discard(path)
        self._spread()

    # --- files

    def write(self, path: str, text: str) -> None:
        folder, _, name = path.rpartition("/")
        if name == "cgroup.subtree_control":
            self._let(folder, text)
        elif name == "cpuset.cpus":
            try:
                wanted = cpus(text)
            except ValueError as error:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL)) from error
            if not wanted and self._tree.text(path) and self._is_populated(folder):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._tree.put({path: cpu_list(wanted) + "\n"})
        elif name == "cpuset.mems":
            if not text.strip() and self._tree.text(path) and self._is_populated(folder):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._tree.put({path: f"{text.strip()}\n"})
        elif name == "cpuset.cpus.partition":
            self._part(folder, text)
        elif name == "cgroup.procs":
            self._tree.put({path: text})
        elif name.startswith(("cpuset", "cgroup")):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        else:
            self._tree.put({path: text})
        self._spread()

    def _let(self, folder: str, text: str) -> None:
        path = f"{folder}/cgroup.subtree_control"
        granted = self._tree.text(path).split()
        sign, name = text[0], text[1:]
        if name not in self._tree.text(f"{folder}/cgroup.controllers").split():
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        children = self._children(folder)
        if sign == "+" and name not in granted:
            order = self._tree.text(f"{ROOT}/cgroup.controllers").split()
            granted = sorted([*granted, name], key=order.index)
        elif sign == "-" and name in granted:
            if any(name in self._tree.text(f"{one}/cgroup.subtree_control").split() for one in children):
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
            granted.remove(name)
        self._tree.put({path: " ".join(granted)})
        for child in children:
            self._tree.put({f"{child}/cgroup.controllers": " ".join(granted)})
            if "cpuset" in granted:
                self._show(child)
            else:
                for file in self._tree.find(f"{child}/cpuset.*"):
                    self._tree.remove(file)

    def _part(self, folder: str, text: str) -> None:
        self._tree.one_of(text, "member root isolated")
        path = f"{folder}/cpuset.cpus.partition"
        mine = cpus(self._tree.text(f"{folder}/cpuset.cpus"))
        siblings = [one for one in self._children(folder.rpartition("/")[0]) if one != folder]
        taken = {cpu for one in siblings for cpu in cpus(self._tree.text(f"{one}/cpuset.cpus"))}
        if text != "member" and (not mine or mine & taken):
            text = f"{text} invalid (Cpu list in cpuset.cpus not exclusive)"
        self._tree.put({path: text})

    def _is_populated(self, folder: str) -> bool:
        return any(
            text.strip()
            for path, text in self._tree.files.items()
            if path.startswith(f"{folder}/") and path.endswith("/cgroup.procs")
        )

    def _children(self, folder: str) -> list[str]:
        return [one.rpartition("/")[0] for one in self._tree.find(f"{folder}/*/cgroup.procs")]

    def _show(self, folder: str) -> None:
        if not self._tree.has(f"{folder}/cpuset.cpus"):
            self._tree.put({f"{folder}/cpuset.cpus": "\n", f"{folder}/cpuset.mems": "\n"})
            self._tree.put({f"{folder}/cpuset.cpus.partition": "member"})
        self._spread()

    def _spread(self, folder: str = ROOT) -> None:
        """Give each cgroup what it asks for of its parent's, all of them without or in vain."""
        given = cpus(self._tree.text(f"{folder}/cpuset.cpus.effective"))
        for child in self._children(folder):
            if self._tree.has(f"{child}/cpuset.cpus"):
                own = cpus(self._tree.text(f"{child}/cpuset.cpus")) & given
                self._tree.put({f"{child}/cpuset.cpus.effective": cpu_list(own or given)})
                self._spread(child)

    # --- systemd

    def systemctl(self, words: Sequence[str]) -> str:
        self.reloads += words[0] == "daemon-reload"
        if words[0] != "set-property":
            return ""
        _, runtime, unit, setting = words
        if runtime != "--runtime":
            raise OSError(errno.EIO, f"{unit} would keep {setting} over a reboot")
        name, _, value = setting.partition("=")
        kind = "Scope" if unit.endswith(".scope") else "Slice"
        control = _TRANSIENT if kind == "Scope" else CONTROL
        text = f"[{kind}]\n{name}=\n" + (f"{name}={value}\n" if value else "")
        self._tree.put({f"{control}/{unit}.d/50-{name}.conf": f"# systemctl set-property\n{text}"})
        folder = f"{ROOT}/{unit}"
        self.make(folder)  # it starts what was not in use
        if value:
            self._let(ROOT, "+cpuset")
            self.write(f"{folder}/cpuset.cpus", value)
        elif self._tree.has(f"{folder}/cpuset.cpus"):
            with contextlib.suppress(OSError):  # it logs the kernel's refusal and goes on
                self.write(f"{folder}/cpuset.cpus", "")
        self._told = {**self._told, unit: value}
        self._forget()
        return ""

    def _forget(self) -> None:
        """systemd takes the controller away with the last unit of its own that wants it."""
        if not self.delegated and not any(self._told.values()):
            with contextlib.suppress(OSError):  # it goes on where the kernel refuses
                self._let(ROOT, "-cpuset")
