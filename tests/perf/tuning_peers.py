"""What tools set, verify, give back and leave behind: `python -m tests.perf.tuning_peers` prints a table.

All run on one VM, in turn, on a host with Debian's defaults and on one whose owner has set a few things. What
they leave is set back by hand, for the next. What changed is seen by tests/lab/snapshot.py, which knows none.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

from benchctl.agent import build
from tests.lab import snapshot
from tests.lab.own_vm import OwnVm
from tests.perf.tuning_vm import AGENT, INSTALL

PACKAGES = {"pyperf": "pyperf", "rebench": "rebench", "temci": "temci"}
# What an owner may have set; none of them is the kernel's default.
OWNERS = {
    "/proc/sys/kernel/perf_event_max_sample_rate": "40000",
    "/proc/sys/kernel/perf_cpu_time_max_percent": "30",
    "/proc/sys/vm/swappiness": "10",
    "/proc/sys/vm/dirty_bytes": "536870912",
    "/sys/kernel/mm/transparent_hugepage/enabled": "madvise",
    "/sys/block/vda/queue/read_ahead_kb": "512",
    "/proc/irq/default_smp_affinity": "2",
}
# Of the programs themselves, as they are started and installed.
_OWN = ("unit tuned", "unit polkit", "unit dbus", "/etc/tuned", "/sys/kernel/irq", "unit system-dbus")


class Tool(NamedTuple):
    """How a tool is told to set a host, to look, and to give it back."""

    name: str
    set: str
    verify: str  # "" when it has no such word
    restore: str


def _module(package: str, words: str) -> str:
    return f"PYTHONPATH=/root/{package} python3 -m {words}"


def _tuned(profile: str) -> Tool:
    return Tool(f"tuned `{profile}`", f"tuned-adm profile {profile}", "tuned-adm verify", "tuned-adm off")


_AGENT = f"python3 -ISB {AGENT}"
_DENOISE = _module("rebench", "rebench.denoise --json --num-cores 2")
_PYPERF = _module("pyperf", "pyperf system")
TOOLS = (
    Tool("benchctl `repeatable`", f"{_AGENT} tune repeatable", f"{_AGENT} drift", f"{_AGENT} restore"),
    _tuned("throughput-performance"),
    _tuned("latency-performance"),
    Tool("pyperf system", f"{_PYPERF} tune", f"{_PYPERF} show", f"{_PYPERF} reset"),
    Tool("rebench-denoise", f"{_DENOISE} minimize", "", f"{_DENOISE} restore"),
)
HEAD = "| tool | host | set | verify says | left behind | among them |\n|---|---|---|---|---|---|\n"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="benchctl-perf-") as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        vm = OwnVm(folder, "perf-peers")
        try:
            vm.boot(patch)
            absent = _install(vm, folder)
            sys.stdout.write(
                "| tool | host | set | verify says | left behind | among them |\n|---|---|---|---|---|---|\n"
            )
            for host, values in (("defaults", {}), ("an owner's", OWNERS)):
                for tool in TOOLS:
                    sys.stdout.write(_try(vm, tool, host, values))
                    sys.stdout.flush()
            for package, why in absent.items():
                sys.stdout.write(f"| {package} | – | not installed: {why} | | | |\n")
        finally:
            vm.close()


def _install(vm: OwnVm, folder: Path) -> dict[str, str]:
    """Put the tools on the VM; why some of them cannot be."""
    vm.ssh(f"{INSTALL} tuned >/dev/null; systemctl restart tuned; tuned-adm off", limit=1200)
    vm.upload(build.zipapp(folder), AGENT)
    vm.ssh("mkdir -p /root/tests/lab")
    vm.upload(Path(snapshot.__file__), "/root/tests/lab/snapshot.py")
    absent = {}
    for package in PACKAGES:
        target = folder / package
        words = ["install", "--quiet", "--only-binary=:all:", "--python-version=3.11", f"--target={target}"]
        done = subprocess.run(
            [sys.executable, "-m", "pip", *words, package], capture_output=True, text=True, check=False
        )
        if done.returncode:
            absent[package] = done.stderr.strip().splitlines()[-1]
            continue
        packed = folder / f"{package}.tar"
        subprocess.run(["tar", "-cf", str(packed), "-C", str(folder), package], check=True)
        vm.upload(packed, f"/root/{package}.tar")
        vm.ssh(f"tar -xf /root/{package}.tar -C /root")
    return absent


def _try(vm: OwnVm, tool: Tool, host: str, values: dict[str, str]) -> str:
    """One row; the host is as before afterwards, by what the snapshots say."""
    for path, text in values.items():
        vm.ssh(f"echo {text} > {path}")
    before = _snapshot(vm)
    vm.ssh(f"{tool.set} >/root/said 2>&1", check=False)
    set_ = _changed(before, _snapshot(vm))
    told = "–"
    if tool.verify:
        told = vm.ssh(f"{tool.verify} >/root/said 2>&1; echo exit $?", check=False).strip()
    vm.ssh(f"{tool.restore} >/root/said 2>&1", check=False)
    after = _snapshot(vm)
    left = _changed(before, after)
    sys.stderr.write(f"{tool.name} on {host}: set {set_}\nleft {left}\n")
    shown = "; ".join(
        f"{path} {before.get(path, '').strip()} → {after.get(path, '').strip()}" for path in left[:4]
    )
    for path in left:
        if path in before and path.startswith(snapshot.SETTINGS):
            vm.ssh(f"cat > {path}", text=_plain(before[path]), check=False)
    return f"| {tool.name} | {host} | {len(set_)} | {told} | {len(left)} | {shown} |\n"


def _snapshot(vm: OwnVm) -> snapshot.Shown:
    return dict(json.loads(vm.ssh("python3 /root/tests/lab/snapshot.py")))


def _changed(before: snapshot.Shown, after: snapshot.Shown) -> list[str]:
    return [path for path in snapshot.changed(before, after) if not path.startswith(_OWN)]


def _plain(text: str) -> str:
    return text[text.index("[") + 1 : text.index("]")] if "[" in text else text


if __name__ == "__main__":
    main()
