"""A second converge with nothing to change on 1, 4 and 16 hosts.

benchctl: connect to all hosts, compare the stamps of Redis on one and of its load generator on all, verify
what the descriptors name, let go again; its own start-up aside. The peers find that 10 files have the content
that they should have: Ansible with pipelining, kept connections and forks; the same with mitogen; pyinfra;
and a script by one ssh for each host.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.perf import peers
from tests.perf.hosts import seconds, site, without_lab
from tests.perf.rows import Row, compared, rounds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchctl.model.host import Inventory
    from benchctl.model.plan import Plan
    from tests.lab.host import LabHost

HOSTS = (1, 4, 16)
ROUNDS = 5
SLOW_ROUNDS = 1  # of peers that take many seconds
FILES = 10
NAME = "converge with nothing to change"
CHECK = "sha256sum --check --quiet /srv/perf/SUMS"
MAKE = f"""
mkdir -p /srv/perf && cd /srv/perf
for i in $(seq {FILES}); do echo "content $i" > file-$i; done
sha256sum $PWD/file-* > SUMS
"""
PLAY = "- hosts: all\n  gather_facts: false\n  tasks:\n" + "".join(
    f"    - ansible.builtin.copy: {{content: \"content {i}\\n\", dest: /srv/perf/file-{i}, mode: '0644'}}\n"
    for i in range(1, FILES + 1)
)
DEPLOY = "import io\nfrom pyinfra.operations import files\n" + "".join(
    f"files.put(src=io.StringIO('content {i}\\n'), dest='/srv/perf/file-{i}', mode='644')\n"
    for i in range(1, FILES + 1)
)
EXPERIMENT = """
name: converge
hosts:
  provider: inventory
  path: {inventory}
  groups: {{dbms: {{count: 1}}, loader: {{count: {count}}}}}
dbms: {{role: redis, source: package}}
workload: {{role: redis_benchmark, duration: 1s}}
design: {{blocks: 1}}
"""


class Ours:
    """What `benchctl configure` does for an experiment, without its imports; converged once."""

    def __init__(self, experiment: str) -> None:
        from benchctl.plan import make
        from benchctl.provision import provisioner_for
        from benchctl.spec import load

        os.environ.update(site().names)
        self.folder = site().new_folder()
        path = self.folder / "converge.yml"
        path.write_text(experiment, encoding="utf-8")
        self.plan: Plan = make(load(str(path)))
        self.inventory: Inventory = provisioner_for(self.plan.experiment).provision(self.plan.experiment)
        self.converged(ansible=True)

    def converged(self, *, ansible: bool, force: bool = False) -> tuple[float, float]:
        """Seconds for all of it, and for the converge over the open connections; by Ansible where forced."""
        from benchctl.benchmark.connection import connect_all
        from benchctl.benchmark.fleet import Fleet
        from benchctl.configure import AnsibleRunner, converge

        begin = time.perf_counter()
        fleet = Fleet(connect_all(self.inventory.hosts, f"perf-{time.time_ns()}", owner="perf", ttl=600))
        connected = time.perf_counter()
        done = converge(
            self.plan,
            self.inventory,
            fleet,
            AnsibleRunner(),
            run_dir=self.folder,
            force=force,
            on_event=lambda _: None,
        )
        converged = time.perf_counter()
        fleet.each("end", timeout=60)
        fleet.close()
        if done.ansible and not ansible:
            raise RuntimeError("Ansible was started although nothing had changed")
        return time.perf_counter() - begin, converged - connected


class Peers:
    """The other tools on the same hosts."""

    def __init__(
        self,
        hosts: Sequence[LabHost],
        play: str = PLAY,
        groups: Mapping[str, Sequence[LabHost]] | None = None,
    ) -> None:
        self.hosts = hosts
        self.folder = site().new_folder()
        self.inventory = site().lab.inventory(groups or {"nodes": hosts})
        (self.folder / "play.yml").write_text(play, encoding="utf-8")
        (self.folder / "deploy.py").write_text(DEPLOY, encoding="utf-8")
        listed = [(host.name, {"ssh_hostname": host.address, **self._login()}) for host in hosts]
        (self.folder / "inventory.py").write_text(f"hosts = {listed!r}\n", encoding="utf-8")
        for host in hosts:
            host.shell(MAKE)

    def _login(self) -> dict[str, str]:
        lab = site().lab
        return {
            "ssh_user": "root",
            "ssh_key": str(lab.client_key),
            "ssh_known_hosts_file": str(lab.known_hosts),
        }

    def ansible(self, **more: str) -> float:
        """Seconds; the connections are kept from the round before."""
        control = self.folder / "cp"
        environment = {
            **os.environ,
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_HOME": str(self.folder / "home"),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_FORKS": str(len(self.hosts)),
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=120",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(control),
            **more,
        }
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        words = [program, "-i", str(self.inventory), str(self.folder / "play.yml")]
        return seconds(words, env=environment)

    def mitogen(self) -> float:
        plugins = str(peers.library() / "ansible_mitogen" / "plugins" / "strategy")
        return self.ansible(ANSIBLE_STRATEGY_PLUGINS=plugins, ANSIBLE_STRATEGY="mitogen_linear")

    def pyinfra(self) -> float:
        return seconds([peers.program("pyinfra"), "-y", "inventory.py", "deploy.py"], cwd=self.folder)

    def ssh(self) -> float:
        begin = time.perf_counter()
        running = [
            subprocess.Popen([*site().ssh(), host.name, CHECK], stdin=subprocess.DEVNULL)
            for host in self.hosts
        ]
        if any(process.wait() for process in running):
            raise RuntimeError("a host's files are not as they should be")
        return time.perf_counter() - begin


def run() -> list[Row]:
    if rows := without_lab(NAME):
        return rows
    return [row for count in HOSTS for row in converges(count)]


def converges(count: int) -> list[Row]:
    hosts = site().hosts(count)
    inventory = site().lab.inventory({"dbms": hosts[:1], "loader": hosts})
    ours = Ours(EXPERIMENT.format(inventory=inventory, count=count))
    others = Peers(hosts)
    acts = {"one ssh per host": others.ssh, "pyinfra": others.pyinfra}
    slow = {"ansible-playbook, tuned": others.ansible, "Ansible with mitogen": others.mitogen}
    whole: list[float] = []
    inside: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in (*acts, *slow)}
    for number in range(rounds(ROUNDS)):
        for name, act in {**acts, **(slow if number < SLOW_ROUNDS else {})}.items():
            theirs[name].append(act())
        both = ours.converged(ansible=False)
        whole.append(both[0])
        inside.append(both[1])
    name = f"{NAME}, {count} hosts"
    took = statistics.median(whole)
    return [
        *(
            compared(
                f"{name} / {peer}",
                took,
                statistics.median(times),
                1.0 if peer == "one ssh per host" else None,
            )
            for peer, times in theirs.items()
        ),
        compared(
            f"{name}, connections open / one ssh per host",
            statistics.median(inside),
            statistics.median(theirs["one ssh per host"]),
        ),
    ]
