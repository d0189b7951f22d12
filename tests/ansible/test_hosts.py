"""The playbooks alone on hosts of the lab: converge, converge again, verify, measure, give back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.ansible.conftest import Outcome
    from tests.lab.fixtures import Fresh
    from tests.lab.host import LabHost

pytestmark = [pytest.mark.ansible, pytest.mark.slow]

# What a host has, but for caches, logs, and the backups that tools keep of the files they write.
SNAPSHOT = r"""
echo "== packages"; dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\n'
echo "== users"; getent passwd; getent group; cut -d: -f1 /etc/shadow /etc/gshadow
echo "== units"; systemctl list-unit-files --no-legend --plain
systemctl list-units --type=service --state=active --no-legend --plain | cut -d' ' -f1 \
  | grep -Ev '^(user|systemd-)'
echo "== files"
find /etc /usr /var/lib /root /home /opt /srv \
  \( -path /var/lib/apt -o -path /var/lib/dpkg -o -path /var/lib/systemd \
  -o -name .ansible -o -name .cache -o -name __pycache__ \) -prune -o -printf '%p %y %m %U:%G %l\n' | sort
echo "== contents"; find /etc -type f ! -name '*-' ! -name ld.so.cache -exec sha256sum {} + | sort -k2
"""

PACKAGE = {"postgresql_source": "package", "postgresql_version": "15"}
REDIS = {"bench_dbms_roles": ["redis"], "bench_loader_roles": ["redis_benchmark"]}


def words(outcome: Outcome) -> str:
    return " ".join(outcome.text.split())


def succeed(outcome: Outcome) -> Outcome:
    assert outcome.code == 0, outcome.text[-8000:]
    return outcome


class Site:
    """Two hosts, one for each group, and the playbooks on them."""

    def __init__(
        self, fresh: Fresh, play: Callable[..., Outcome], user: str, variables: dict[str, Any]
    ) -> None:
        self.hosts = [fresh(name="dbms-host"), fresh(name="loader-host")]
        self.inventory = fresh.lab.inventory(
            {"dbms": self.hosts[:1], "loader": self.hosts[1:]}, user=user, **variables
        )
        self._play = play

    def play(self, playbook: str, *arguments: str, **variables: Any) -> Outcome:
        extra = ("-e", json.dumps(variables)) if variables else ()
        return self._play(playbook, *arguments, *extra, inventory=self.inventory)

    def snapshots(self) -> list[list[str]]:
        return [host.shell(SNAPSHOT).splitlines() for host in self.hosts]


@pytest.fixture
def site(fresh: Fresh, play: Callable[..., Outcome]) -> Callable[..., Site]:
    return lambda user, **variables: Site(fresh, play, user, variables)


def has_server(host: LabHost, folder: str) -> bool:
    return host.shell(f"test -e {folder} && echo yes || echo no").strip() == "yes"


def test_packages_come_and_go_and_the_host_is_as_it_was(site: Callable[..., Site]) -> None:
    """As a user with sudo: only the packages need root."""
    here = site("bench", **PACKAGE)
    dbms = here.hosts[0]
    before = here.snapshots()

    succeed(here.play("site", "--check"))
    assert here.snapshots() == before

    assert succeed(here.play("site")).changed > 0
    assert has_server(dbms, "/usr/lib/postgresql/15/bin/postgres")
    assert dbms.shell("ls -A /etc/postgresql /var/lib/postgresql").split() == [
        "/etc/postgresql:",
        "/var/lib/postgresql:",
    ]
    assert dbms.shell("systemctl is-enabled postgresql || true").strip() == "disabled"
    assert dbms.shell("systemctl is-active postgresql || true").strip() == "inactive"
    assert succeed(here.play("site")).changed == 0
    succeed(here.play("verify"))

    measured = succeed(here.play("benchmark", pgbench_duration=1, pgbench_scale=1))
    assert "pgbench (15." in measured.text
    assert "tps = " in measured.text

    # what somebody made since is theirs: nothing goes with it, and nothing of theirs goes
    dbms.shell("useradd ada && echo theirs > /etc/theirs")
    succeed(here.play("uninstall"))
    dbms.shell("userdel ada && rm /etc/theirs")
    assert here.snapshots() == before
    assert succeed(here.play("uninstall")).changed == 0


def test_a_wheel_comes_from_the_controller_and_needs_no_root(site: Callable[..., Site]) -> None:
    here = site("plain")
    before = here.snapshots()
    succeed(here.play("site"))
    assert succeed(here.play("site")).changed == 0
    succeed(here.play("verify"))

    dbms, loader = here.hosts
    cache = "/home/plain/.cache/benchctl"
    descriptor = json.loads(dbms.shell(f"cat {cache}/instances/postgresql-default/descriptor.json"))
    assert descriptor["target"]["host"] == dbms.address
    assert descriptor["settings"]["base"]["listen_addresses"] == dbms.address
    hba = dbms.shell(f"cat {cache}/instances/postgresql-default/pg_hba.conf").splitlines()
    assert hba == ["local all bench trust", f"host all bench {loader.address}/32 scram-sha-256"]
    secret = dbms.shell(f"stat -c %a {cache}/secrets/postgresql; cat {cache}/secrets/postgresql").split()
    assert secret[0] == "600"
    assert loader.shell(f"stat -c %a {cache}/loaders/pgbench/pgpass").strip() == "600"
    assert secret[1] not in json.dumps(descriptor)
    program = json.loads(loader.shell(f"cat {cache}/loaders/pgbench/descriptor.json"))
    assert program["processors"] == int(loader.shell("nproc"))

    measured = succeed(here.play("benchmark", pgbench_duration=1, pgbench_scale=1))
    assert "tps = " in measured.text
    assert secret[1] not in measured.text

    succeed(here.play("uninstall"))
    assert here.snapshots() == before
    for host in here.hosts:
        assert not has_server(host, cache)


def test_redis_that_was_there_before_stays(site: Callable[..., Site]) -> None:
    here = site("root", **REDIS)
    before = here.snapshots()
    succeed(here.play("site", "--check"))
    succeed(here.play("site"))
    assert succeed(here.play("site")).changed == 0
    succeed(here.play("verify"))
    measured = succeed(
        here.play("benchmark", redis_benchmark_requests=1000, redis_settings={"maxmemory": "64mb"})
    )
    assert '"GET"' in measured.text
    assert here.hosts[0].shell("pgrep -c redis-server || true").strip() == "0"
    succeed(here.play("uninstall"))
    assert here.snapshots() == before


def test_what_a_distribution_does_not_have_is_said_before_anything_is_done(site: Callable[..., Site]) -> None:
    here = site("bench", postgresql_source="package")
    refused = here.play("dbms")
    assert refused.code != 0
    assert 'PostgreSQL 18 is wanted, but Debian 12 has 15. Ask for version "15"' in words(refused)
    refused = here.play("dbms", bench_dbms_roles=["redis"], redis_version="8")
    assert "Redis 8 is wanted; Debian 12 has 7." in words(refused)
    assert here.hosts[0].shell("ls /var/lib/benchctl 2>&1 || true").startswith("ls: cannot access")


def test_without_root_packages_are_refused_with_the_reason(site: Callable[..., Site]) -> None:
    here = site("plain", **PACKAGE)
    refused = here.play("dbms")
    assert refused.code != 0
    assert "sudo" in words(refused)


def test_packages_stay_until_the_last_role_is_gone(site: Callable[..., Site]) -> None:
    here = site("root", **PACKAGE)
    dbms = here.hosts[0]
    before = here.snapshots()
    succeed(here.play("site"))
    kept = here.play("uninstall", bench_dbms_roles=[])
    assert kept.code == 0
    assert has_server(dbms, "/usr/lib/postgresql/15/bin/postgres")

    record = json.loads(dbms.shell("cat /var/lib/benchctl/packages.json"))
    assert list(record["claims"]) == ["postgresql"]
    succeed(here.play("uninstall"))
    assert here.snapshots() == before
