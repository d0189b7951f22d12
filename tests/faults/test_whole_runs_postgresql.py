"""Whole runs with a real PostgreSQL from the distribution's packages, driven from two hosts, under faults."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

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
    whole.prepare(lab, groups(site), EXPERIMENT, length="8s")
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
