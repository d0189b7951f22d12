"""Tune, verify and restore on a VM with a kernel of its own, against tuned and against a script over ssh.

Debian's tuned is installed there, with a profile of the settings that both know; both give them back as well.
It is timed on the VM itself, as the agent's program is; over an open connection the agent is
timed from here. Where no KVM can run the VM all of it is emulated: then the ratios are what counts, and a
verify keeps to its goal under worse conditions than it was set for.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.agent import build
from benchctl.agent.profiles import PROFILES
from benchctl.benchmark.connection import connect
from benchctl.model.host import Host
from benchctl.provision.lab import vm as lab_vm
from benchctl.provision.lab.podman import REMEDY, possible
from tests.lab.own_vm import NAME, OwnVm
from tests.perf.rows import Row, median_ratio, milliseconds, rounds

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchctl.benchmark.connection import AgentConnection

GOAL = 0.030  # seconds of a verify
ROUNDS = 10
LIMIT = 300.0
AGENT, VALUES = "/root/agent.pyz", "/root/values.json"
BOTH = {
    "wakeup_latency": "1",
    "thp": "madvise",
    "io_scheduler": "mq-deadline",
    "read_ahead": "256",
    "swappiness": "1",
    "dirty_background_bytes": "268435456",
    "dirty_bytes": "1073741824",
    "stat_interval": "10",
    "compaction": "0",
    "timer_migration": "0",
    "hung_task_timeout": "0",
    "soft_watchdog": "0",
    "syn_backlog": "4096",
    "slow_start_after_idle": "0",
    "no_metrics_save": "1",
}
TUNED = """[main]
summary=what benchctl sets as well
[cpu]
force_latency=1
[vm]
transparent_hugepages=madvise
[disk]
devices=vda,vdb
elevator=mq-deadline
readahead=256
[sysctl]
vm.swappiness=1
vm.dirty_background_bytes=268435456
vm.dirty_bytes=1073741824
vm.stat_interval=10
vm.compaction_proactiveness=0
kernel.timer_migration=0
kernel.hung_task_timeout_secs=0
kernel.soft_watchdog=0
net.ipv4.tcp_max_syn_backlog=4096
net.ipv4.tcp_slow_start_after_idle=0
net.ipv4.tcp_no_metrics_save=1
"""
INSTALL = "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends"
TUNED_SAYS = {"tune": "tuned-adm profile both", "verify": "tuned-adm verify", "restore": "tuned-adm off"}
AGENT_SAYS = {"tune": f"tune {VALUES}", "verify": "drift", "restore": "restore"}


def run() -> list[Row]:
    """Rows for the settings that both know, then for the whole profile."""
    if not possible() or not Path(lab_vm.TUN).exists():
        return [Row("tuning on a VM", "–", "–", "–", REMEDY)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchctl-perf-")))
        vm = OwnVm(folder, "perf-tuning")
        stack.callback(vm.close)
        vm.boot(stack.enter_context(pytest.MonkeyPatch.context()))
        return [*_against_tuned(vm, folder), *_whole(vm)]


def _against_tuned(vm: OwnVm, folder: Path) -> list[Row]:
    vm.ssh(f"{INSTALL} tuned >/dev/null", limit=1200)
    vm.ssh("mkdir -p /etc/tuned/both; systemctl restart tuned; tuned-adm off")
    vm.put("/etc/tuned/both/tuned.conf", TUNED)
    vm.put(VALUES, json.dumps(BOTH))
    vm.upload(build.zipapp(folder), AGENT)
    pairs: dict[str, list[tuple[float, float]]] = {verb: [] for verb in TUNED_SAYS}
    for _ in range(rounds(ROUNDS)):
        theirs = {verb: _there(vm, command) for verb, command in TUNED_SAYS.items()}
        ours = {verb: _there(vm, f"python3 -ISB {AGENT} {words}") for verb, words in AGENT_SAYS.items()}
        for verb, found in pairs.items():
            found.append((ours[verb], theirs[verb]))
    vm.ssh("systemctl stop tuned")
    return [
        _row(
            f"{verb} of {len(BOTH)} knobs by a program on a VM / tuned-adm",
            found,
            1.0 if verb == "tune" else None,
        )
        for verb, found in pairs.items()
    ]


def _there(vm: OwnVm, command: str) -> float:
    """The seconds that a command takes on the VM."""
    script = f"begin=$(date +%s%N); {command} >/dev/null; echo $? $(($(date +%s%N) - begin))"
    status, nanoseconds = vm.ssh(script).split()
    if int(status):
        message = f"{command}: exit {status}"
        raise RuntimeError(message)
    return int(nanoseconds) / 1e9


def _whole(vm: OwnVm) -> list[Row]:
    """The whole profile over an open connection; the peer writes the same files."""
    host = Host(name=NAME, transport="ssh", options=vm.options())
    agent = connect(host, f"perf-{os.getpid()}", owner="perf", ttl=LIMIT)
    try:
        values = PROFILES["repeatable"]
        agent.call("tune", timeout=LIMIT, values=values, kept=True)
        files = [entry for entry in _journal(vm) if entry[1] == "file"]
        read = "".join(f"read -r x < {path}\n" for _, _, _, path, *_ in files)
        verify = [
            (_seconds(lambda: _drift(agent)), _seconds(lambda: vm.ssh("sh", text=read)))
            for _ in range(rounds(20))
        ]
        agent.call("restore", timeout=LIMIT, every=True)
        places = {entry[0] for entry in files}
        plain = {name: value for name, value in values.items() if name in places or name == "irqbalance"}
        write = "".join(f"echo '{entry[5]}' > {entry[3]}\n" for entry in files)
        undo = "".join(f"echo '{_chosen(entry[2], entry[4])}' > {entry[3]}\n" for entry in reversed(files))
        tune, restore = [], []
        for _ in range(rounds(ROUNDS)):
            ours = _seconds(lambda: agent.call("tune", timeout=LIMIT, values=plain, kept=True))
            back = _seconds(lambda: agent.call("restore", timeout=LIMIT, every=True))
            tune.append((ours, _seconds(lambda: vm.ssh("sh", text=write, check=False))))
            restore.append((back, _seconds(lambda: vm.ssh("sh", text=undo, check=False))))
    finally:
        agent.call("end", timeout=LIMIT)
        agent.close()
    peer = f"{len(files)} files on a VM, connected / ssh and a script"
    return [
        _row(f"verify of the whole profile, {peer}", verify, None, GOAL),
        _row(f"tune of {peer}", tune),
        _row(f"restore of {peer}", restore),
    ]


def _journal(vm: OwnVm) -> list[list[Any]]:
    lines = vm.ssh("cat /var/lib/benchctl/tuning.jsonl").splitlines()
    return [line["entry"] for line in map(json.loads, lines) if "entry" in line]


def _chosen(form: str, text: str) -> str:
    return text[text.index("[") + 1 : text.index("]")] if form == "bracket" else text.strip()


def _drift(agent: AgentConnection) -> None:
    if agent.call("drift", timeout=LIMIT)["drifts"]:
        message = "something has drifted"
        raise RuntimeError(message)


def _row(
    name: str, pairs: list[tuple[float, float]], goal: float | None = None, most: float | None = None
) -> Row:
    ours, peer = ([pair[side] for pair in pairs] for side in (0, 1))
    ratio = median_ratio(pairs)
    wanted, met = ("", None) if goal is None else (f"<= {goal:g}", ratio <= goal)
    if most is not None:
        wanted, met = f"<= {most * 1000:g} ms", sorted(ours)[len(ours) // 2] <= most
    return Row(name, milliseconds(ours), milliseconds(peer), f"{ratio:.2f}", wanted, met)


def _seconds(act: Callable[[], object]) -> float:
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin
