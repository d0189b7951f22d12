"""Whole runs over hosts by SSH: a DBMS on its own, loads that begin together, a host that is down."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.results import check_capacity, trials

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import Shell
    from tests.lab.host import LabHost
    from tests.lab.lab import Lab

NOOP = """
name: noop
hosts: {provider: inventory, path: PATH, groups: {loader: {count: 2}}}
workload:
  role: command
  run: >-
    printf '{"ops": 1}\\n'
  parse: {json: true}
  units: {ops: 1/s}
design: {blocks: 3}
metrics: [{name: ops, better: higher}]
"""


REDIS = """
name: redis
hosts: {provider: inventory, path: PATH, groups: {dbms: {count: 1}, loader: {count: 1}}}
dbms: {role: redis, source: prefix, prefix: /usr}
workload: {role: redis_benchmark, clients: 4, requests: 5000, keyspace: 100}
factors: {workload.pipeline: [1, 16]}
design: {blocks: 1}
"""


def only_run(shell: Shell) -> Path:
    (found,) = (shell.workspace / "runs").iterdir()
    return found


def left(host: LabHost) -> str:
    """What of a run is still on a host: its work folder, its agent, its lease."""
    places = (
        "~/.cache/benchctl/runs/* /run/user/0/benchctl/* /tmp/benchctl-0/* /tmp/benchctl-lease/lease.json"
    )
    return host.shell(f"ls -d {places} 2>/dev/null; pgrep -a 'python|postgres|pgbench' || true")


@pytest.mark.slow
def test_redis_on_a_host_of_its_own(shell: Shell, lab: Lab) -> None:
    hosts = lab.hosts(2)
    dbms, loader = hosts
    before = [left(host) for host in hosts]
    path = lab.inventory({"dbms": [dbms], "loader": [loader]})
    (shell.workspace / "redis.yml").write_text(REDIS.replace("PATH", str(path)), encoding="utf-8")
    shell.run("run", "redis.yml")
    run = only_run(shell)
    assert [trial["result"]["loader"] for trial in trials(run)] == ["redis_benchmark"] * 2
    check_capacity(run, loader.name)
    assert [left(host) for host in hosts] == before


def test_a_load_of_nothing_on_two_hosts_starts_together(shell: Shell, lab: Lab) -> None:
    loaders = lab.hosts(2)
    before = [left(host) for host in loaders]
    path = lab.inventory({"loader": loaders})
    (shell.workspace / "noop.yml").write_text(NOOP.replace("PATH", str(path)), encoding="utf-8")
    shell.run("run", "noop.yml")
    run = only_run(shell)
    for trial in trials(run):
        assert trial["result"]["metrics"]["ops"]["value"] == 2
        assert {load["host"] for load in trial["loads"]} == {host.name for host in loaders}
    assert [left(host) for host in loaders] == before


def test_a_host_that_is_down_is_named_before_anything_begins(shell: Shell, lab: Lab) -> None:
    up = lab.host("h1")
    before = left(up)
    path = lab.inventory({"loader": [up]})
    inventory = json.loads(path.read_text())
    hosts = inventory["all"]["children"]["loader"]["hosts"]
    hosts["nowhere"] = {**hosts["h1"], "ansible_host": up.address.rpartition(".")[0] + ".253"}
    path.write_text(json.dumps(inventory))
    text = NOOP.replace("PATH", str(path))
    (shell.workspace / "noop.yml").write_text(text, encoding="utf-8")
    done = shell.run("run", "noop.yml", code=3)
    assert "nowhere" in done.stderr
    assert left(up) == before
