"""Whole runs with a PostgreSQL from the distribution's packages and two loaders: sound, and under faults."""

from __future__ import annotations

import json
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.results import check_capacity
from tests.faults.whole import Site, Whole, ended
from tests.lab.host import await_true

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.host import LabHost
    from tests.lab.lab import Lab

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.ansible]
EXPERIMENT = """
name: whole
hosts: {provider: inventory, path: PATH, groups: {dbms: {count: 1}, loader: {count: 2}}}
dbms: {role: postgresql, version: "15", source: package}
workload: {role: pgbench, scale: 1, clients: 2, warmup: 1s, duration: LENGTH}
design: {blocks: 1, min_blocks: 1, on_failure: stop}
metrics: [{name: throughput, better: higher}]
"""

SHORT = (
    "--set=design.blocks=1",
    "--set=design.min_blocks=1",
    "--set=workload.scale=2",
    "--set=workload.clients=2",
    "--set=workload.warmup=1s",
    "--set=workload.duration=2s",
)


@pytest.fixture(scope="module")
def site(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Hosts on which Ansible has nothing to do any more."""
    made = Site(lab, ("pg", "left", "right"))
    with tempfile.TemporaryDirectory(prefix="bt") as runtime:
        warm = Whole(tmp_path_factory.mktemp("warm"), Path(runtime))
        warm.prepare(lab, groups(made), EXPERIMENT, length="1s")
        warm.run("run", "whole.yml", "--until=configure", limit=600)
        warm.run("destroy", "latest")
    yield made
    made.close()


def groups(site: Site) -> dict[str, list[LabHost]]:
    server, *loaders = site.hosts
    return {"dbms": [server], "loader": loaders}


def await_pgbench(site: Site, host: LabHost) -> None:
    """The load of a trial: before the first one pgbench runs against a target on its own host."""
    against = f"[p]gbench .*-h {site.hosts[0].address} "
    await_true(lambda: host.shell(f"pgrep -f '{against}' || true"), f"pgbench on {host.name}", 120)


def test_two_loaders_drive_one_postgresql(lab: Lab, site: Site, whole: Whole) -> None:
    """The shipped experiment, in seconds."""
    whole.hosts = site.hosts
    dbms, *loaders = site.hosts
    whole.run("run", "pg-two-loaders", f"--set=hosts.path={lab.inventory(groups(site))}", *SHORT)
    whole.clean()
    found = whole.trials()
    assert len(found) == 2
    for trial in found:
        check_trial(trial, dbms.name, [host.name for host in loaders])
    run = whole.only_run
    for loader in loaders:
        check_capacity(run, loader.name)
    for host in site.hosts:
        facts = json.loads((run / "hosts" / host.name / "fingerprint.json").read_text())
        assert facts["host.name"] == host.name
    assert (run / "hosts" / dbms.name / "logs").is_dir()
    again = whole.run("report", "latest", "--recompute", "--format=json").stdout
    assert json.loads(again)["trials"]["planned"] == 2


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


def test_a_dbms_that_is_killed_in_mid_trial_fails_the_trial(lab: Lab, site: Site, whole: Whole) -> None:
    whole.prepare(lab, groups(site), EXPERIMENT, length="60s")
    server, left, right = site.hosts
    process = whole.start("run", "whole.yml")
    await_pgbench(site, left)
    await_pgbench(site, right)
    server.shell("kill -KILL $(pgrep -x postgres)")
    code, output = ended(process)
    assert code == 1, output
    assert "pg: " in output
    assert "in mid-trial" in output
    whole.clean()
    assert list(whole.status()["trials_failed"]) == ["1"]
    assert "database system is ready to accept connections" in output  # its last lines


@pytest.mark.parametrize("name", ["pg", "left"])
def test_a_trial_with_a_dbms_outlives_a_cut_cable(lab: Lab, site: Site, whole: Whole, name: str) -> None:
    """Behind the cut of the DBMS's host no transaction ends; TCP goes on when the packets pass again."""
    whole.prepare(lab, groups(site), EXPERIMENT, length="16s")
    process = whole.start("run", "whole.yml")
    for host in site.hosts[1:]:
        await_pgbench(site, host)
    next(host for host in site.hosts if host.name == name).drop_packets(5)
    code, output = ended(process)
    assert code == 0, output
    (trial,) = whole.trials()
    assert trial["attempt"] == 1
    assert trial["result"]["requests"] > 0
    assert whole.status()["trials_failed"] == {}
    whole.clean()


def test_ctrl_c_in_mid_trial_leaves_no_server(lab: Lab, site: Site, whole: Whole) -> None:
    whole.prepare(lab, groups(site), EXPERIMENT, length="60s")
    process = whole.start("run", "whole.yml")
    await_pgbench(site, site.hosts[1])
    process.send_signal(signal.SIGINT)
    code, output = ended(process)
    assert code == 130, output
    whole.clean()
    assert not site.hosts[0].shell("pgrep -x postgres || true")
