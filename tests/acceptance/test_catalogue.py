"""Each DBMS under each load generator that drives it, by the real command on two hosts of the lab.

The hosts are set to German, with decimal commas: what programs print and read back must not depend on it.
With BENCHCTL_TEST_RECORD=1 what came out is written to the case that docs/reference/catalogue.md is made of.
"""

from __future__ import annotations

import json
import os
import shlex
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

from benchctl.spec import read_role
from docs.catalogue import ALONE, ROLES, WHY, pairs
from tests import prefixes
from tests.acceptance.results import outcome, record, trials
from tests.lab.image import GERMAN
from tests.needs import maven

if TYPE_CHECKING:
    from pathlib import Path

    from benchctl.model.role import RoleMeta
    from tests.acceptance.conftest import Shell
    from tests.lab.fixtures import Fresh

pytestmark = [pytest.mark.ansible, pytest.mark.slow]

LIMIT = 1500  # seconds of a run; programs are built in it, beside other tests
ALL = any(f"BENCHCTL_TEST_{name}" in os.environ for name in ("PAIRS", "RECORD"))
WINDOW = {"warmup": "1s", "duration": "3s"}

DECIMAL = "import locale; locale.setlocale(locale.LC_ALL, ''); print(locale.str(1.5))"

# What makes a load generator's run short; every one that is shipped has its row.
LOADS: dict[str, dict[str, Any]] = {
    "benchbase": {"benchmark": "tpcc"},
    "command": {"run": "printf '{\"ops\": 1}\\n'", "parse": {"json": True}, "units": {"ops": "1/s"}},
    "fio": {"size": "16MB", "direct": False, **WINDOW},
    "go_tpc": {"warehouses": 1, "clients": 2, "duration": "4s"},
    "go_ycsb": {"operations": 2000, "records": 1000, "clients": 2},
    "hey": {
        "url": "/v3/kv/range",
        "method": "POST",
        "body": '{"key": "YQ=="}',
        "content_type": "application/json",
        "clients": 4,
        **WINDOW,
    },
    "memaslap": {"clients": 4, "duration": "3s"},
    "mysqlslap": {"queries": 1000, "clients": 2},
    "pgbench": {"scale": 1, "clients": 2, **WINDOW},
    "redis_benchmark": {"requests": 100_000, "clients": 4, "keyspace": 1000},
    "stress_ng": {"workers": 1, "duration": "2s"},
    "sysbench": {"table_size": 1000, "threads": 2, **WINDOW},
    "tpch": {"scale": 0.01},
    "xephon_b": {"workers": 2, **WINDOW},
}
SYSTEMS: dict[str, dict[str, Any]] = {  # where the default does not do
    "postgresql": {"source": "package", "version": "15"}
}
ELSEWHERE = ("cassandra", "kairosdb")  # test_kairosdb.py has them run
PAIRS: dict[tuple[str, str], dict[str, Any]] = {  # where the load generator's row does not do
    ("ferretdb", "go_ycsb"): {"operations": 200, "records": 200},  # on SQLite an update looks at every record
    ("kairosdb", "hey"): {
        "url": "/api/v1/datapoints",
        "body": '[{"name": "bench", "timestamp": 1700000000000, "value": 1, "tags": {"host": "a"}}]',
    },
}
METRICS: dict[str, list[dict[str, str]]] = {"command": [{"name": "ops", "better": "higher"}]}


def meta(role: str) -> RoleMeta:
    return read_role(role, (ROLES,))


def by_dbms() -> dict[str, list[str]]:
    """The load generators that are tried, by the DBMS that they drive."""
    found: dict[str, list[str]] = {}
    driven: set[str] = set()
    for dbms, loader in sorted(pairs(), key=lambda pair: len(meta(pair[1]).drives)):
        wanted = loader not in driven or dbms not in {*found, *ELSEWHERE}
        if (dbms, loader) not in WHY and (ALL or wanted):
            found.setdefault(dbms, []).append(loader)
            driven.add(loader)
    return found


def load(dbms: str, loader: str) -> dict[str, Any]:
    return {**LOADS[loader], **PAIRS.get((dbms, loader), {})}


def experiment(dbms: str, loader: str, inventory: Path) -> dict[str, Any]:
    system = {} if dbms == ALONE else {"dbms": {"role": dbms, **SYSTEMS.get(dbms, {})}}
    group = {"loader": {"count": 1}} | ({} if dbms == ALONE else {"dbms": {"count": 1}})
    metrics = {"metrics": METRICS[loader]} if loader in METRICS else {}
    return {
        "name": f"{dbms}-{loader}".replace("_", "-"),
        "hosts": {"provider": "inventory", "path": str(inventory), "groups": group},
        **system,
        "workload": {"role": loader, **load(dbms, loader)},
        "factors": {"again": {"a": {}, "b": {}}},
        "design": {"blocks": 1},
        **metrics,
    }


@pytest.mark.parametrize("dbms", sorted(by_dbms()))
def test_every_load_generator_drives_what_it_says_it_drives(dbms: str, shell: Shell, fresh: Fresh) -> None:
    if dbms == "kairosdb":
        maven()
    prefixes.share(shell.cache)
    server, driver = fresh(name="dbms-host", locale=GERMAN), fresh(name="loader-host", locale=GERMAN)
    assert driver.ssh("python3", "-c", shlex.quote(DECIMAL)).stdout == "1,5\n"
    driver = driver if dbms == ALONE or meta(dbms).stages else server  # an embedded engine has no server
    inventory = fresh.lab.inventory({"dbms": [server], "loader": [driver]})
    for loader in by_dbms()[dbms]:
        run = measure(shell, experiment(dbms, loader, inventory))
        found = trials(run)
        assert len(found) == 2
        assert {trial["result"]["loader"] for trial in found} == {loader}
        assert {trial["validity"] for trial in found} <= {"ok", "suspect"}, json.dumps(found)[:4000]
        kept = outcome(run, driver, dbms, {"role": loader, **load(dbms, loader)}, primary(loader))
        check_figures(found[-1]["result"], kept["primary"])
        record(kept)


def check_figures(result: dict[str, Any], first: dict[str, Any]) -> None:
    """What is a thousand times too much or too little does not fit the other figures of a run of seconds."""
    assert first["value"] > 0
    if first["unit"] == "1/s" and result["requests"]:
        assert 0.006 < result["requests"] / first["value"] < 60


def measure(shell: Shell, wanted: dict[str, Any]) -> Path:
    """One run; suspect trials end with 4, for both hosts share this machine."""
    path = shell.workspace / f"{wanted['name']}.yml"
    with path.open("w", encoding="utf-8") as file:
        YAML().dump(wanted, file)
    before = set((shell.workspace / "runs").glob("*"))
    shell.run("run", str(path), code={0, 4}, limit=LIMIT)
    (run,) = set((shell.workspace / "runs").glob("*")) - before
    return run


def primary(loader: str) -> str:
    (first, *_) = METRICS.get(loader, [{"name": "throughput"}])
    return first["name"]
