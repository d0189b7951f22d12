"""MariaDB, sysbench and mysqlslap by the playbooks alone, beside a server with data that is not ours."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.ansible.site import holds, succeed, words
from tests.lab.host import await_true

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.ansible.site import Site
    from tests.lab.host import LabHost

pytestmark = [pytest.mark.ansible, pytest.mark.slow]

CACHE = "/home/bench/.cache/benchctl"
SERVER = "bench-foreign.service"
LISTENER = "bench-listener.service"
PATIENCE = 300.0  # seconds: a mirror that stalls is asked again by apt after 15
THEIRS = f"""
set -e
apt() {{ apt-get -qq -o Acquire::http::Timeout=15 -o Acquire::Retries=3 "$@" >/dev/null; }}
get() {{ apt install --no-install-recommends mariadb-server-core mariadb-client-core; }}
get || {{ apt update; get; }}
mariadb-install-db --no-defaults --user=root --datadir=/var/lib/mysql >/dev/null
systemd-run --quiet --unit={SERVER} mariadbd --no-defaults --user=root --datadir=/var/lib/mysql \
  --socket=/run/theirs.sock --bind-address=127.0.0.1
"""
ASK = "mariadb --no-defaults --socket=/run/theirs.sock --silent --skip-column-names --execute="
SYSBENCH = {"bench_dbms_roles": ["mariadb"], "bench_loader_roles": ["sysbench"]}
MYSQLSLAP = {"bench_dbms_roles": ["mariadb"], "bench_loader_roles": ["mysqlslap"]}
BOTH = {"bench_dbms_roles": ["mariadb"], "bench_loader_roles": ["sysbench", "mysqlslap"]}


def test_mariadb_comes_and_goes_beside_a_server_that_has_data(site: Callable[..., Site]) -> None:
    here = site("bench", **BOTH)
    dbms, loader = here.hosts
    theirs = start_theirs(dbms)
    before = here.snapshots()

    refused = here.play("dbms", mariadb_version="10.6")
    assert "MariaDB 10.6 is wanted; Debian 12 has 10.11." in words(refused)
    succeed(here.play("site", "--check"))
    assert here.snapshots() == before

    assert succeed(here.play("site")).changed > 0
    assert succeed(here.play("site")).changed == 0
    succeed(here.play("verify"))
    assert not holds(loader, "pgrep -x mariadbd")
    secret = check_network(dbms, loader)

    measured = succeed(here.play("benchmark", **SYSBENCH, sysbench_duration=3, sysbench_threads=2))
    assert "transactions: " in measured.text
    assert secret not in measured.text
    slapped = succeed(here.play("benchmark", **MYSQLSLAP, mysqlslap_test="read", mysqlslap_queries=1000))
    assert "Average number of seconds to run all queries" in slapped.text
    assert secret not in slapped.text

    check_port(here)
    loader.shell(f"echo '[client]' > {CACHE}/loaders/mysqlslap/mysql.cnf")
    refused = here.play("benchmark", **MYSQLSLAP)
    assert "Access denied for user" in words(refused), refused.text[-4000:]

    succeed(here.play("uninstall"))
    assert here.snapshots() == before
    assert state_of_theirs(dbms) == theirs
    assert succeed(here.play("uninstall")).changed == 0


def start_theirs(dbms: LabHost) -> str:
    """A server as a distribution's would be, with data; gives its state."""
    dbms.exec("sh", "-c", THEIRS, limit=PATIENCE)
    await_true(lambda: holds(dbms, f"{ASK}'DO 1' 2>&1"), "the foreign server answers")
    dbms.shell(f"{ASK}'CREATE DATABASE theirs; CREATE TABLE theirs.t AS SELECT 42'")
    return state_of_theirs(dbms)


def state_of_theirs(dbms: LabHost) -> str:
    return dbms.shell(f"systemctl show --property=MainPID {SERVER}; {ASK}'CHECKSUM TABLE theirs.t'")


def check_network(dbms: LabHost, loader: LabHost) -> str:
    """Who may reach the server, and how; gives the password."""
    descriptor = json.loads(dbms.shell(f"cat {CACHE}/instances/mariadb-default/descriptor.json"))
    base = descriptor["settings"]["base"]
    assert (base["bind_address"], base["skip_name_resolve"]) == (dbms.address, "ON")
    secret = dbms.shell(f"cat {CACHE}/secrets/mariadb").strip()
    assert len(secret) == 32
    assert secret not in json.dumps(descriptor)
    accounts = dbms.shell(f"cat {base['init_file']}")
    users = [line for line in accounts.splitlines() if line.startswith("CREATE")]
    assert sorted(users) == sorted(
        f"CREATE USER bench@'{host.address}' IDENTIFIED BY '{secret}';" for host in (dbms, loader)
    )
    for host, path in (
        (dbms, f"{CACHE}/secrets/mariadb"),
        (dbms, base["init_file"]),
        (loader, f"{CACHE}/loaders/sysbench/mysql.cnf"),
        (loader, f"{CACHE}/loaders/mysqlslap/mysql.cnf"),
    ):
        assert host.shell(f"stat -c %a {path}").strip() == "600", path
    return secret


def check_port(here: Site) -> None:
    """A port that somebody else has is named, and stays theirs."""
    listen = f"python3 -m http.server --bind {here.dbms.address} 53306"
    here.dbms.shell(f"systemd-run --quiet --unit={LISTENER} {listen}")
    await_true(lambda: holds(here.dbms, f"ss -Hltn src {here.dbms.address}:53306 | grep ."), "it listens")
    refused = here.play("benchmark", **SYSBENCH)
    assert "its port 53306 is taken by a process of another user" in words(refused)
    assert here.dbms.shell(f"systemctl is-active {LISTENER}").strip() == "active"
    here.dbms.shell(f"systemctl stop {LISTENER}")
