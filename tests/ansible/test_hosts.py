"""The playbooks alone on hosts of the lab: converge, converge again, verify, measure, give back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.ansible.site import Site, holds, succeed, words

if TYPE_CHECKING:
    from collections.abc import Callable


pytestmark = [pytest.mark.ansible, pytest.mark.slow]

PACKAGES = {
    "postgresql_source": "package",
    "postgresql_version": "15",
    "bench_dbms_roles": ["postgresql", "redis"],
    "bench_loader_roles": ["pgbench", "redis_benchmark"],
}
ROOTLESS = {
    **PACKAGES,
    "postgresql_source": "wheel",
    "postgresql_version": "18",
    "redis_source": "prefix",
    "redis_prefix": "/usr",
    "redis_benchmark_source": "prefix",
    "redis_benchmark_prefix": "/usr",
}
REDIS = {"bench_dbms_roles": ["redis"], "bench_loader_roles": ["redis_benchmark"]}
RECORD = "/var/lib/benchctl/packages.json"


def test_packages_come_and_go_and_the_host_is_as_it_was(site: Callable[..., Site]) -> None:
    """As a user with sudo: only the packages need root. The first converge is killed in mid-installation."""
    here = site("bench", **PACKAGES)
    dbms = here.dbms
    dbms.shell("apt-get -qq purge --autoremove redis-server redis-tools >/dev/null 2>&1")  # not on the loader
    before = here.snapshots()

    check_refusals(here)
    succeed(here.play("site", "--check"))
    assert here.snapshots() == before

    unpacking = "test -d /usr/share/doc/postgresql-common"
    here.play_until(lambda: holds(dbms, unpacking), "apt unpacks on the host", "site")

    assert succeed(here.play("site")).changed > 0
    check_packages(here)
    assert succeed(here.play("site")).changed == 0
    succeed(here.play("verify"))

    measured = succeed(here.play("benchmark", pgbench_duration=5, pgbench_scale=1))
    assert "pgbench (15." in measured.text
    assert "tps = " in measured.text

    # packages stay until the last role is gone
    succeed(here.play("uninstall", bench_dbms_roles=["redis"]))
    assert list(json.loads(dbms.shell(f"cat {RECORD}"))["claims"]) == ["postgresql"]
    assert holds(dbms, "test -e /usr/lib/postgresql/15/bin/postgres")

    # what somebody made since is theirs: nothing goes with it, and nothing of theirs goes
    dbms.shell("useradd ada && echo theirs > /etc/theirs")
    succeed(here.play("uninstall"))
    dbms.shell("userdel ada && rm /etc/theirs")
    assert here.snapshots() == before
    assert succeed(here.play("uninstall")).changed == 0


def check_refusals(here: Site) -> None:
    """What cannot be done is said before anything is done."""
    refused = here.play("dbms", postgresql_version="18")
    assert refused.code != 0
    assert 'PostgreSQL 18 is wanted, but Debian 12 has 15. Ask for version "15"' in words(refused)
    refused = here.play("dbms", **REDIS, redis_version="8")
    assert "Redis 8 is wanted; Debian 12 has 7." in words(refused)
    refused = here.play("dbms", ansible_user="plain")
    assert refused.code != 0
    assert "sudo" in words(refused)
    for host in here.hosts:
        assert host.shell("find / -xdev -path '*/.cache/benchctl*'").split() == []


def check_packages(here: Site) -> None:
    """The programs are there, and no service of the distribution runs or will."""
    dbms, loader = here.hosts
    assert holds(dbms, "test -e /usr/lib/postgresql/15/bin/postgres -a -e /usr/bin/redis-server")
    assert dbms.shell("ls -A /etc/postgresql /var/lib/postgresql").split() == [
        "/etc/postgresql:",
        "/var/lib/postgresql:",
    ]
    for unit in ("postgresql", "redis-server"):
        assert dbms.shell(f"systemctl is-enabled {unit} || true").strip() == "disabled"
        assert dbms.shell(f"systemctl is-active {unit} || true").strip() == "inactive"
    assert not holds(dbms, "pgrep -x 'postgres|redis-server'")
    assert not holds(dbms, "test -e /usr/sbin/policy-rc.d")
    installed = json.loads(loader.shell(f"cat {RECORD}"))["packages"]
    assert [name for name in installed if name.startswith("redis")] == []


def test_without_root_programs_come_from_the_controller_or_a_prefix(site: Callable[..., Site]) -> None:
    here = site("plain", **ROOTLESS)
    dbms, loader = here.hosts
    before = here.snapshots()
    succeed(here.play("site"))
    assert succeed(here.play("site")).changed == 0
    succeed(here.play("verify"))
    secret = check_network(here)

    measured = succeed(here.play("benchmark", pgbench_duration=5, pgbench_scale=1))
    assert "tps = " in measured.text
    assert secret not in measured.text

    # a measurement that was killed leaves a server behind; the next one starts with its own
    running = "pgrep -x redis-server"
    endless = {**REDIS, "redis_benchmark_requests": 1_000_000_000}
    here.play_until(lambda: holds(loader, "pgrep -x redis-benchmark"), "it measures", "benchmark", **endless)
    assert holds(dbms, running)
    stale = dbms.shell(running).split()
    options = {"redis_benchmark_requests": 1000, "redis_settings": {"maxmemory": "64mb"}}
    assert '"GET"' in succeed(here.play("benchmark", **REDIS, **options)).text
    assert not holds(dbms, running), stale

    succeed(here.play("uninstall"))
    assert here.snapshots() == before
    for host in here.hosts:
        assert not holds(host, f"test -e {CACHE}")


CACHE = "/home/plain/.cache/benchctl"


def check_network(here: Site) -> str:
    """Who may reach the servers, and how; gives the password."""
    dbms, loader = here.hosts
    descriptor = json.loads(dbms.shell(f"cat {CACHE}/instances/postgresql-default/descriptor.json"))
    assert descriptor["target"]["host"] == dbms.address
    assert descriptor["settings"]["base"]["listen_addresses"] == dbms.address
    hba = dbms.shell(f"cat {CACHE}/instances/postgresql-default/pg_hba.conf").splitlines()
    assert hba == ["local all bench trust", f"host all bench {loader.address}/32 scram-sha-256"]
    mode, secret = dbms.shell(
        f"stat -c %a {CACHE}/secrets/postgresql; cat {CACHE}/secrets/postgresql"
    ).split()
    assert mode == "600"
    assert loader.shell(f"stat -c %a {CACHE}/loaders/pgbench/pgpass").strip() == "600"
    assert secret not in json.dumps(descriptor)
    program = json.loads(loader.shell(f"cat {CACHE}/loaders/pgbench/descriptor.json"))
    assert program["processors"] == int(loader.shell("nproc"))
    base = json.loads(dbms.shell(f"cat {CACHE}/instances/redis-default/descriptor.json"))["settings"]["base"]
    assert base["bind"] == dbms.address
    assert {"-@admin", "-@dangerous", "+config|get"} <= set(base["user"].split())
    return secret
