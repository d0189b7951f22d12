"""A second converge with nothing to change of a site: five roles, two systems and what loads them.

Four hosts: Redis and memcached on one, redis-benchmark, memaslap and stress-ng on three. benchctl connects,
compares the stamps of every role and verifies what the descriptors name. The peers are Ansible, with
pipelining, kept connections and a fork for each host: the very same roles, called again; and a playbook by
hand that sees the same packages installed and a settings file for each as it should be, and verifies nothing.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from tests.perf.converge import Ours, Peers
from tests.perf.hosts import site, without_lab
from tests.perf.rows import Row, compared, rounds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.lab.host import LabHost

HOSTS = 4
ROUNDS = 3
NAME = f"second converge of 5 roles on {HOSTS} hosts"
EXPERIMENT = """
name: site
hosts:
  provider: inventory
  path: {inventory}
  groups: {{dbms: {{count: 1}}, loader: {{count: {loaders}}}}}
stages:
  - {{name: redis, group: dbms, install: {{role: redis, source: package}}}}
  - {{name: memcached, group: dbms, install: {{role: memcached}}}}
  - {{name: redis-benchmark, group: loader, install: {{role: redis_benchmark}}}}
  - {{name: memaslap, group: loader, install: {{role: memaslap}}}}
  - {{name: stress-ng, group: loader, install: {{role: stress_ng}}}}
  - name: load
    group: loader
    measure: {{duration: 1s}}
    tasks: [{{run: "printf '{{\\"ops\\": 1}}\\n'", parse: {{json: true}}, units: {{ops: 1/s}}}}]
design: {{blocks: 1}}
metrics: [{{name: ops, better: higher}}]
"""
PACKAGES = {
    "dbms": ("redis-server", "memcached"),
    "loader": ("redis-tools", "libmemcached-tools", "stress-ng"),
}


def run() -> list[Row]:
    if rows := without_lab(NAME):
        return rows
    hosts = site().hosts(HOSTS)
    groups = {"dbms": hosts[:1], "loader": hosts[1:]}
    ours = Ours(EXPERIMENT.format(inventory=site().lab.inventory(groups), loaders=HOSTS - 1))
    by_hand = Peers(hosts, play=_play(groups), groups=groups)
    by_hand.ansible()  # it writes the files, and opens the connections
    took: dict[str, list[float]] = {"ours": [], "roles": [], "hand": []}
    for _ in range(rounds(ROUNDS)):
        took["ours"].append(ours.converged(ansible=False)[0])
        took["hand"].append(by_hand.ansible())
    took["roles"].append(ours.converged(ansible=True, force=True)[0])
    middle = {name: statistics.median(times) for name, times in took.items()}
    return [
        compared(f"{NAME} / ansible-playbook with the same roles", middle["ours"], middle["roles"], 0.1),
        compared(f"{NAME} / ansible-playbook by hand, 10 checks", middle["ours"], middle["hand"], 0.1),
    ]


def _play(groups: Mapping[str, Sequence[LabHost]]) -> str:
    """For each package that it is installed, and that a file of settings is as it should be."""
    plays = []
    for group in groups:
        plays.append(f"- hosts: {group}\n  gather_facts: false\n  tasks:\n")
        for name in PACKAGES[group]:
            plays.append(f"    - ansible.builtin.apt: {{name: {name}, state: present}}\n")
            settings = f'{{content: "settings of {name}\\n", dest: /srv/{name}.conf, mode: "0644"}}'
            plays.append(f"    - ansible.builtin.copy: {settings}\n")
    return "".join(plays)
