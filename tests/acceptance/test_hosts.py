"""A whole run over three hosts by SSH: a DBMS on one, load generators on two others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import Shell
    from tests.lab.host import LabHost
    from tests.lab.lab import Lab

SHORT = (
    "--set=design.blocks=1",
    "--set=design.min_blocks=1",
    "--set=workload.scale=2",
    "--set=workload.clients=2",
    "--set=workload.warmup=1s",
    "--set=workload.duration=2s",
)
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


def trials(run: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(run.glob("trials/*/trial.json"))]


def left(host: LabHost) -> str:
    """What of a run is still on a host: its work folder, its agent, its lease."""
    places = (
        "~/.cache/benchctl/runs/* /run/user/0/benchctl/* /tmp/benchctl-0/* /tmp/benchctl-lease/lease.json"
    )
    return host.shell(f"ls -d {places} 2>/dev/null; pgrep -a 'python|postgres|pgbench' || true")


@pytest.mark.slow
def test_two_loaders_drive_one_postgresql(shell: Shell, lab: Lab) -> None:
    dbms, *loaders = hosts = lab.hosts(3)
    before = [left(host) for host in hosts]
    path = lab.inventory({"dbms": [dbms], "loader": loaders})
    shell.run("run", "pg-two-loaders", f"--set=hosts.path={path}", *SHORT, limit=1200)
    run = only_run(shell)
    found = trials(run)
    assert len(found) == 2
    for trial in found:
        check_trial(trial, dbms.name, [host.name for host in loaders])
    for loader in loaders:
        check_capacity(run, loader.name)
    for host in hosts:
        facts = json.loads((run / "hosts" / host.name / "fingerprint.json").read_text())
        assert facts["host.name"] == host.name
    assert [left(host) for host in hosts] == before
    assert (run / "hosts" / dbms.name / "logs").is_dir()
    again = shell.run("report", "latest", "--recompute", "--format=json").stdout
    assert json.loads(again)["trials"]["planned"] == 2


def check_capacity(run: Path, host: str) -> None:
    """What the load generator reaches at most is kept with the run and with each trial, and judged."""
    known = json.loads((run / "hosts" / host / "capacity.json").read_text())
    for trial in trials(run):
        (load,) = (load for load in trial["loads"] if load["host"] == host)
        assert load["capacity"] == known[trial["treatment"]]
        reached = load["result"]["metrics"]["throughput"]["value"]
        (found,) = (f for f in trial["findings"] if (f["gate"], f["host"]) == ("loader_capacity", host))
        share = reached / load["capacity"]["throughput"]
        assert found["value"] == pytest.approx(share, rel=1e-3) or "is not known" in found["reason"]


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


def check_trial(trial: dict[str, Any], dbms: str, loaders: list[str]) -> None:
    assert trial["host"] == dbms
    assert [load["host"] for load in trial["loads"]] == loaders
    parts = [load["result"] for load in trial["loads"]]
    merged = trial["result"]
    assert merged["requests"] == sum(part["requests"] for part in parts)
    throughputs = [part["metrics"]["throughput"]["value"] for part in parts]
    assert merged["metrics"]["throughput"]["value"] == pytest.approx(sum(throughputs))
    medians = [part["metrics"]["latency_p50"]["value"] for part in parts]
    assert min(medians) <= merged["metrics"]["latency_p50"]["value"] <= max(medians)
    assert merged["percentile_source"] == "log"
    start = trial["start"]
    assert start["spread"] == pytest.approx(
        abs(trial["loads"][0]["began"] - trial["loads"][1]["began"]), abs=1e-9
    )
    assert start["uncertainty"] > 0
    assert start["overlap"] > 0.9
    assert not any(load["late"] for load in trial["loads"])
    hosts = {name.split("/")[1] for name in trial["files"]}
    assert hosts == {dbms, *loaders}
    assert f"raw/{dbms}/server.log" in trial["files"]
    assert {f["host"] for f in trial["findings"] if f["gate"] == "steal"} == hosts
    assert {f["gate"] for f in trial["findings"] if not f["host"]} == {
        "start_skew",
        "steady_overlap",
        "clocks",
    }


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
