"""Tuning by users who are not root, over SSH: with sudo freely, with its password, and without it."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.benchmark.connection import connect_all
from benchctl.benchmark.fleet import Fleet
from benchctl.errors import BenchctlError
from benchctl.model.host import Host
from tests.lab.host import await_true
from tests.lab.image import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.fixtures import Fresh
    from tests.lab.host import LabHost

JOURNAL = "/var/lib/benchctl/tuning.jsonl"
TIMER = "apt-daily.timer"
VALUES = {"timers": "masked"}
LIMIT = 60.0


@pytest.fixture
def connect(request: pytest.FixtureRequest) -> Callable[..., Fleet]:
    """Connect to a host as one of its users, for a run; what is left of it ends with the test."""

    def act(host: LabHost, user: str, run: str = "", ttl: float = 300) -> Fleet:
        there = Host(name=host.name, transport="ssh", options=host.options(user=user))
        fleet = Fleet(connect_all([there], run or f"sudo-{user}-{os.getpid()}", owner="tests", ttl=ttl))
        request.addfinalizer(fleet.close)
        return fleet

    return act


def reply(fleet: Fleet, op: str, **args: Any) -> dict[str, Any]:
    """What the one host of a fleet answers."""
    (found,) = fleet.each(op, args, timeout=LIMIT).values()
    return found


def is_masked(host: LabHost) -> bool:
    return host.exec("systemctl", "is-enabled", TIMER, check=False).strip() == "masked-runtime"


@pytest.fixture
def host(fresh: Fresh) -> Iterator[LabHost]:
    made = fresh()
    assert not is_masked(made)
    yield made
    assert PASSWORD not in made.shell("cat /var/lib/benchctl/* /tmp/benchctl*/*/* 2>/dev/null", check=False)


@pytest.mark.parametrize(("user", "password"), [("bench", ""), ("plain", PASSWORD)])
def test_sudo_tunes_and_gives_back_with_the_run(
    host: LabHost, connect: Callable[..., Fleet], user: str, password: str
) -> None:
    fleet = connect(host, user)
    told = reply(fleet, "tune", values=VALUES, **({"password": password} if password else {}))
    (row,) = told["knobs"]
    assert row["outcome"] == "applied", row
    assert told["undo"].startswith("sudo python3 /home/")
    assert is_masked(host)
    assert reply(fleet, "drift")["drifts"] == 0
    assert host.exec("stat", "-c", "%U", JOURNAL).strip() == "root"
    host.exec("systemctl", "unmask", "--runtime", TIMER)
    looked = reply(fleet, "drift", mend=True)
    assert (looked["drifts"], looked["unmended"]) == (1, 0), looked
    assert is_masked(host)
    ended = reply(fleet, "end")["tuning"]
    assert (ended["restored"] > 0, ended["failed"], ended["left"]) == (True, [], [])
    assert not is_masked(host)
    assert "benchctl" not in host.exec("ls", "-A", "/var/lib").split()


def test_without_the_password_nothing_is_changed(host: LabHost, connect: Callable[..., Fleet]) -> None:
    fleet = connect(host, "plain")
    for given in ({}, {"password": "wrong"}):
        with pytest.raises(BenchctlError, match=r"tuning needs root, and sudo says: .*password"):
            reply(fleet, "tune", values=VALUES, **given)
    assert not is_masked(host)
    assert "tuning" not in reply(fleet, "end")


def test_the_guard_of_a_killed_agent_needs_no_password(host: LabHost, connect: Callable[..., Fleet]) -> None:
    fleet = connect(host, "plain", ttl=3)
    supervisor = reply(fleet, "hello")["pid"]
    reply(fleet, "tune", values=VALUES, password=PASSWORD)
    assert is_masked(host)
    host.exec("kill", f"-{int(signal.SIGKILL)}", str(supervisor))
    await_true(lambda: not is_masked(host), "the guard gives the host back")
    await_true(lambda: "benchctl" not in host.shell("ls -A /var/lib").split(), "its folder goes")
