"""What tools set, notice, give back and leave behind on one VM: python -m tests.perf.tuning_peers records it.

Each sets the host by its own command, on Debian's defaults and on a host whose owner has set a few things.
Then one setting is changed behind its back, and it is told to look, and to give back. What changed is seen
by tests/lab/snapshot.py, which knows none of them. What a tool leaves is set back for the next, and a tool
that does nothing is the control. The recording makes the page docs/reference/tuning-peers.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from benchctl import __version__
from benchctl.agent import build
from docs.tuning_peers import CONTROL, OURS, RECORDED, is_wrong
from tests.lab import snapshot
from tests.lab.own_vm import OwnVm
from tests.perf.tuning_vm import AGENT, INSTALL

PACKAGES = ("pyperf==2.10.0", "rebench==1.4.0", "temci==0.8.5")  # as PyPI has them
NAMESAKES = ("krun==0.1.0",)  # PyPI's is another program
DEBIAN = "tuned cpuset"  # cset, of the last, is what ReBench shields CPUs with
LIMIT = 1200.0
_ROUNDS = 3  # to set back what was left: a ratio takes the bytes away that were set beside it
# What an owner may have set; none of them is the kernel's default.
OWNERS = {
    "/proc/sys/kernel/perf_event_max_sample_rate": "40000",
    "/proc/sys/kernel/perf_cpu_time_max_percent": "30",
    "/proc/sys/kernel/randomize_va_space": "1",
    "/proc/sys/vm/swappiness": "20",
    "/proc/sys/vm/dirty_bytes": "536870912",
    "/proc/sys/vm/dirty_background_bytes": "268435456",
    "/sys/kernel/mm/transparent_hugepage/enabled": "never",
    "/sys/block/vda/queue/read_ahead_kb": "512",
    "/proc/irq/default_smp_affinity": "2",
}
# And a service that the owner has stopped for good.
STOPPED = (
    "apt-get -qq install --no-install-recommends irqbalance >/dev/null; systemctl disable --now irqbalance"
)
# Changed behind a tool's back: the first of them that it has set.
PLANTED = ("/proc/sys/kernel/perf_event_max_sample_rate", "/proc/sys/vm/swappiness")


class Tool(NamedTuple):
    """How a tool is told to set a host, to look, and to give it back; `end` is what it does not take away."""

    name: str
    package: str
    set: str
    verify: str  # "" when it has no such word
    restore: str
    begin: str = ""  # what it needs before
    end: str = ""


_AGENT = f"python3 -ISB {AGENT}"
_DENOISE = "PYTHONPATH=/root/rebench python3 /root/rebench/bin/rebench-denoise --json --num-cores 2"
_SHIELDLESS, _SHIELD = (
    f"{_DENOISE} --without-shielding",
    f"{_DENOISE} --cset-path /usr/bin/cset",
)  # as ReBench does
_PYPERF = "PYTHONPATH=/root/pyperf python3 -m pyperf system"
_TUNED = ("tuned-adm verify", "tuned-adm off")
TOOLS = (
    Tool(CONTROL, "", "true", "", "true"),
    Tool(OURS, "benchctl", f"{_AGENT} tune repeatable", f"{_AGENT} drift", f"{_AGENT} restore"),
    Tool(
        "pyperf system tune",
        "pyperf",
        f"{_PYPERF} tune",
        f"{_PYPERF} show",
        f"{_PYPERF} reset",
        end="systemctl stop irqbalance || true",
    ),
    Tool("rebench-denoise", "rebench", f"{_SHIELDLESS} minimize", "", f"{_SHIELDLESS} restore"),
    Tool(
        "rebench-denoise, with cset",
        "rebench",
        f"{_SHIELD} minimize",
        "",
        f"{_SHIELD} restore",
        end="umount /cpusets; rmdir /cpusets || true",
    ),
    Tool(
        "tuned, throughput-performance",
        "tuned",
        "tuned-adm profile throughput-performance",
        *_TUNED,
        begin="systemctl start tuned; tuned-adm off",
    ),
    Tool(
        "tuned, latency-performance",
        "tuned",
        "tuned-adm profile latency-performance",
        *_TUNED,
        end="systemctl stop tuned",
    ),
)


def main() -> int:
    """Record what each did; return 1 when benchctl left something or saw nothing, or when nothing moved."""
    with tempfile.TemporaryDirectory(prefix="benchctl-perf-") as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        vm = OwnVm(folder, "perf-peers")
        try:
            vm.boot(patch)
            recorded = record(vm, folder)
        finally:
            vm.close()
    RECORDED.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return int(any(is_wrong(row) for row in recorded["tools"]))


def record(vm: OwnVm, folder: Path) -> dict[str, Any]:
    """Try each tool on each host."""
    versions, absent = _install(vm, folder)
    told = _try_all(vm, "defaults")
    vm.ssh(STOPPED, limit=LIMIT)
    vm.ssh("".join(f"echo {text} > {path}\n" for path, text in OWNERS.items()))
    told += _try_all(vm, "an owner's")
    kernel = vm.ssh("uname -r").strip()
    return {"kernel": kernel, "owner": OWNERS, "versions": versions, "tools": told, "absent": absent}


def _install(vm: OwnVm, folder: Path) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Put the tools on the VM; return the versions of those that are there, and why others are not."""
    vm.ssh(f"{INSTALL} {DEBIAN} >/dev/null; systemctl stop tuned; modprobe msr || true", limit=LIMIT)
    vm.upload(build.zipapp(folder), AGENT)
    vm.ssh("mkdir -p /root/tests/lab")
    vm.upload(Path(snapshot.__file__), "/root/tests/lab/snapshot.py")
    versions = {"benchctl": __version__, "tuned": vm.ssh("dpkg-query -W -f '${Version}' tuned")}
    absent = []
    for requirement in PACKAGES:
        package, _, version = requirement.partition("==")
        why = _pip(folder / package, requirement)
        if why:
            absent.append({"tool": package, "version": version, "why": why})
            continue
        packed = folder / f"{package}.tar"
        subprocess.run(["tar", "-cf", str(packed), "-C", str(folder), package], check=True)
        vm.upload(packed, f"/root/{package}.tar")
        vm.ssh(f"tar -xf /root/{package}.tar -C /root")
        versions[package] = version
    return versions, absent + [_namesake(folder, requirement) for requirement in NAMESAKES]


def _pip(target: Path, *words: str) -> str:
    """Install into a folder; return "" or the line that says why not."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, f"--target={target}", *words], capture_output=True, text=True, check=False
    )
    if not done.returncode:
        return ""
    lines = [line.strip() for line in done.stderr.splitlines()]
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    why = next((line for line in lines if "Error: " in line), lines[-1])
    return f"{python}: {why.partition(' (/')[0]}"  # without the path of a file here


def _namesake(folder: Path, requirement: str) -> dict[str, str]:
    """Say what a package is that has the name of a tool."""
    package, _, version = requirement.partition("==")
    why = _pip(folder / package, "--no-deps", requirement)
    about = [found.metadata["Summary"] for found in distributions(path=[str(folder / package)])]
    return {
        "tool": package,
        "version": version,
        "why": why or f"PyPI has another program of that name: “{about[0]}”",
    }


def _try_all(vm: OwnVm, host: str) -> list[dict[str, Any]]:
    """What the tools did in turn; each finds what the first found."""
    found, told = _snapshot(vm), []
    for tool in TOOLS:
        if tool.begin:
            vm.ssh(tool.begin, limit=LIMIT)
            found = _snapshot(vm)
        row = {"tool": tool.name, "package": tool.package, "host": host, **_try(vm, tool, found)}
        sys.stderr.write(f"{json.dumps(row, ensure_ascii=False)}\n")
        told.append(row)
        if tool.end:
            vm.ssh(tool.end, limit=LIMIT)
        if row["left"] or tool.end:
            found = _set_back(vm, found)
    return told


def _try(vm: OwnVm, tool: Tool, found: snapshot.Shown) -> dict[str, Any]:
    """What a tool did to the host that it found."""
    ends = {"set_exit": _run(vm, tool.set)}
    tuned = _snapshot(vm)
    changed = _own(found, tuned)
    planted = next((path for path in PLANTED if path in changed), "")
    if tool.verify and planted:
        ends["clean"] = _run(vm, tool.verify)
        vm.ssh(f"cat > {planted}", text=_plain(found[planted]))
        ends["drifted"] = _run(vm, tool.verify)
        vm.ssh(f"cat > {planted}", text=_plain(tuned[planted]))
    ends["restore_exit"] = _run(vm, tool.restore)
    left = _snapshot(vm)
    texts = {"set": _texts(found, tuned, changed), "left": _texts(found, left, _own(found, left))}
    return {"planted": planted, **ends, **texts}


def _run(vm: OwnVm, command: str) -> int:
    """The exit status of a command; what it says is shown."""
    said = vm.ssh(f"({command}) 2>&1 | tail -n 30; echo ${{PIPESTATUS[0]}}", limit=LIMIT).rstrip()
    text, _, status = said.rpartition("\n")
    sys.stderr.write(f"$ {command}\n{text}\n")
    return int(status)


def _set_back(vm: OwnVm, before: snapshot.Shown) -> snapshot.Shown:
    """Write what was there before, and say what is different all the same: the next tool finds that."""
    now = _snapshot(vm)
    for _ in range(_ROUNDS):
        changed = snapshot.changed(before, now)
        paths = [path for path in changed if path in before and path.startswith(snapshot.SETTINGS)]
        if not paths:
            break
        for path in paths:
            vm.ssh(f"cat > {path}", text=_plain(before[path]), check=False)
        now = _snapshot(vm)
    sys.stderr.write(f"still changed: {snapshot.changed(before, now)}\n")
    return now


def _snapshot(vm: OwnVm) -> snapshot.Shown:
    return dict(json.loads(vm.ssh("python3 /root/tests/lab/snapshot.py", limit=LIMIT)))


def _own(before: snapshot.Shown, after: snapshot.Shown) -> list[str]:
    """What differs, less what only shows the same once more."""
    changed = set(snapshot.changed(before, after))
    return sorted(path for path in changed if not snapshot.explained(path, changed - {path}))


def _texts(before: snapshot.Shown, after: snapshot.Shown, paths: list[str]) -> dict[str, list[str | None]]:
    return {path: [_short(before.get(path)), _short(after.get(path))] for path in paths}


def _short(text: str | None) -> str | None:
    return None if text is None else _plain(text)


def _plain(text: str) -> str:
    """The setting, without what else a file offers."""
    return text[text.index("[") + 1 : text.index("]")] if "[" in text else text.strip()


if __name__ == "__main__":
    sys.exit(main())
