"""Roles whose programs are the distribution's packages, on hosts of the lab, and back again.

The roles that go together share two hosts: half of the time of these tests is packages.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.ansible.test_hosts import Site, succeed, words

if TYPE_CHECKING:
    from tests.ansible.conftest import Player
    from tests.lab.fixtures import Fresh

pytestmark = [pytest.mark.ansible, pytest.mark.slow]


class Together(NamedTuple):
    """Roles that are installed side by side, and what shows that they ran."""

    dbms: str
    figures: dict[str, str]  # load generator -> what it prints when it is done
    variables: dict[str, Any]
    settings: dict[str, str]  # what the system is started with, as it has to tell it
    other_version: str


SETS = {
    "memcached": Together(
        dbms="memcached",
        figures={
            "memaslap": "Run time: 1.0s Ops: ",
            "fio": "READ: bw=",
            "stress_ng": "successful run completed",
        },
        variables={
            "memaslap_seconds": 1,
            "fio_arguments": ["--name=bench", "--rw=randread", "--size=1m", "--unlink=1"],
            "stress_ng_arguments": ["--cpu=1", "--timeout=1s"],
        },
        settings={"threads": "3", "disable-cas": "true", "extended": "hot_lru_pct=30,no_lru_crawler"},
        other_version="1.4",
    ),
}


@pytest.mark.parametrize("name", SETS)
def test_roles_come_run_and_go_and_the_host_is_as_it_was(name: str, fresh: Fresh, play: Player) -> None:
    together = SETS[name]
    roles = {"bench_dbms_roles": [together.dbms], "bench_loader_roles": list(together.figures)}
    here = Site(fresh, play, "bench", {**roles, **together.variables})
    before = here.snapshots()

    refused = here.play("dbms", **{f"{together.dbms}_version": together.other_version})
    assert f"{together.other_version} is wanted; Debian 12 has " in words(refused)
    succeed(here.play("site", "--check"))
    assert here.snapshots() == before

    assert succeed(here.play("site")).changed > 0
    assert succeed(here.play("site")).changed == 0
    succeed(here.play("verify"))
    units = here.dbms.shell("systemctl list-units --state=active --no-legend --plain")
    assert together.dbms not in units  # the distribution's own service is not started

    for loader, said in together.figures.items():
        variables = {f"{together.dbms}_settings": together.settings, "bench_loader_roles": [loader]}
        assert said in succeed(here.play("benchmark", **variables)).text
    check_settings(here, together)

    succeed(here.play("uninstall"))
    assert here.snapshots() == before
    assert succeed(here.play("uninstall")).changed == 0


def check_settings(here: Site, together: Together) -> None:
    """The running server tells what it was started with, in the words of the settings."""
    agent = here.dbms.shell("ls ~bench/.cache/benchctl/agent/*.pyz").strip()
    descriptor = f"/home/bench/.cache/benchctl/instances/{together.dbms}-default/descriptor.json"

    def ask(*arguments: str) -> Any:
        command = " ".join(["python3", "-ISB", agent, *arguments])
        return json.loads(here.dbms.shell(f"su bench -c '{command}'"))

    here.dbms.shell(f"echo '{json.dumps(together.settings)}' > /home/bench/settings.json")
    ask("start", descriptor, "--settings", "/home/bench/settings.json")
    told = ask("inspect", descriptor)["settings"]
    ask("stop", descriptor)
    here.dbms.shell("rm /home/bench/settings.json")
    assert {name: told.get(name) for name in together.settings} == together.settings
