"""MySQL in MariaDB's place, as Maven Central has it, by the real command on hosts of the lab."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

from tests import prefixes
from tests.acceptance.results import outcome, record, trials
from tests.needs import maven

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import Shell
    from tests.lab.fixtures import Fresh

pytestmark = [pytest.mark.ansible, pytest.mark.slow]

LIMIT = 1500  # seconds of a run, beside other tests
SYSBENCH = {"role": "sysbench", "table_size": 1000, "threads": 2, "warmup": "1s", "duration": "3s"}
OVER_TCP: list[dict[str, Any]] = [{"role": "mysqlslap", "queries": 1000, "clients": 2}]
if {"BENCHCTL_TEST_PAIRS", "BENCHCTL_TEST_RECORD"} & os.environ.keys():  # another client library
    OVER_TCP.append({"role": "go_ycsb", "operations": 2000, "records": 1000, "clients": 2})
QUIET = {"performance_schema": False, "skip_log_bin": True, "innodb_buffer_pool_size": "64M"}
FLUSHES: dict[str, Any] = {"dbms.settings.innodb_flush_log_at_trx_commit": [1, 2]}


def test_mysql_is_measured_where_mariadb_is(shell: Shell, fresh: Fresh) -> None:
    maven()
    prefixes.share(shell.cache)
    server, driver = fresh(name="dbms-host"), fresh(name="loader-host")
    alone = fresh.lab.inventory({"dbms": [server], "loader": [server]})
    pair = fresh.lab.inventory({"dbms": [server], "loader": [driver]})

    refused = experiment(shell, "misspelt", alone, SYSBENCH, {"innodb_bufer_pool_size": "64M"})
    said = shell.run("run", str(refused), code=2, limit=LIMIT).stderr
    assert "unknown variable 'innodb_bufer_pool_size=64M'" in said
    assert "did you mean 'innodb_buffer_pool_size'" in said
    assert f"{refused.name}:" in said

    run = measured(shell, experiment(shell, "flush", alone, SYSBENCH, QUIET), "sysbench")
    record(outcome(run, server, "mysql", SYSBENCH))
    for load in OVER_TCP:
        run = measured(shell, experiment(shell, load["role"].replace("_", "-"), pair, load, {}), load["role"])
        record(outcome(run, driver, "mysql", load))


def experiment(
    shell: Shell, name: str, inventory: Path, load: dict[str, Any], settings: dict[str, Any]
) -> Path:
    wanted = {
        "name": name,
        "hosts": {
            "provider": "inventory",
            "path": str(inventory),
            "groups": {"dbms": {"count": 1}, "loader": {"count": 1}},
        },
        "dbms": {"role": "mariadb", "product": "mysql", "settings": settings},
        "workload": load,
        "factors": FLUSHES,
        "design": {"blocks": 1},
    }
    path = shell.workspace / f"{name}.yml"
    with path.open("w", encoding="utf-8") as file:
        YAML().dump(wanted, file)
    return path


def measured(shell: Shell, wanted: Path, loader: str) -> Path:
    before = set((shell.workspace / "runs").glob("*"))
    shell.run("run", str(wanted), code={0, 4}, limit=LIMIT)
    (run,) = set((shell.workspace / "runs").glob("*")) - before
    found = trials(run)
    assert len(found) == 2
    assert {trial["result"]["loader"] for trial in found} == {loader}
    assert {trial["validity"] for trial in found} <= {"ok", "suspect"}, json.dumps(found)[:4000]
    assert all(trial["result"]["metrics"]["throughput"]["value"] > 0 for trial in found)
    servers = [trial["server"] for trial in found]
    assert {server["version"] for server in servers} == {"8.0.12 MySQL Community Server - GPL"}
    flushes = {server["settings"]["innodb_flush_log_at_trx_commit"] for server in servers}
    assert flushes == {"1", "2"}
    assert [server["differing"] for server in servers] == [{}, {}]
    asked = [[trial[f"counters_{when}"]["questions"] for when in ("before", "after")] for trial in found]
    assert all(before < after for before, after in asked)
    return run
