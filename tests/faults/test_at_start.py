"""Hosts that are not fit: named before anything began, exit code 3, and the fit ones let go again."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.agent import build, layout
from benchctl.benchmark.connection import connect_all, transport_to
from benchctl.benchmark.session import AgentConnection
from benchctl.errors import (
    AgentError,
    AuthError,
    BenchctlError,
    HostKeyError,
    LeaseError,
    UnfitError,
    UnreachableError,
)
from benchctl.provision.fit import examine, require_fit
from tests.faults.conftest import AGENTS, LIMIT, Agents, launch
from tests.lab.host import await_true, make_key
from tests.lab.image import PASSWORD

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.fixtures import Fresh
    from tests.lab.host import LabHost
    from tests.lab.lab import Lab

# Says that it is a Python of long ago to what it is given with -c.
OLD_PYTHON = """cat > /usr/local/bin/python-old <<'END'
#!/bin/sh
flags=$1 line=$3
shift 3
exec python3 "$flags" -c "import sys; sys.version_info = (3, 6, 9, 'final', 0)
$line" "$@"
END
chmod 755 /usr/local/bin/python-old
"""


def failure(agents: Agents, host: LabHost, **options: Any) -> BenchctlError:
    with pytest.raises(BenchctlError) as caught:
        agents(host, **options)
    return caught.value


def test_a_host_that_is_down_is_named_and_the_others_are_let_go(
    lab: Lab, fresh: Fresh, agents: Agents
) -> None:
    up, down = lab.host("h1"), fresh()
    down.power_off()
    with pytest.raises(UnreachableError) as caught:
        connect_all([agents.host(up), agents.host(down)], agents.run, owner="tests", ttl=60)
    assert caught.value.exit_code == 3
    assert f"{down.name}: {down.address} port 22" in caught.value.detail
    await_true(lambda: not up.shell(AGENTS), "the other host's agent has ended")


def test_a_host_that_swallows_packets_is_unreachable(fresh: Fresh, agents: Agents) -> None:
    host = fresh()
    host.drop_packets()
    error = failure(agents, host, connect_timeout=2)
    assert isinstance(error, UnreachableError)
    assert "no answer in time" in error.detail


def test_a_wrong_key_is_refused(lab: Lab, agents: Agents, tmp_path: Path) -> None:
    make_key(tmp_path / "other")
    error = failure(agents, lab.host("h1"), identity_file=str(tmp_path / "other"))
    assert isinstance(error, AuthError)
    assert (error.exit_code, str(tmp_path / "other") in error.detail) == (3, True)


def test_a_changed_host_key_is_refused(fresh: Fresh, agents: Agents) -> None:
    host = fresh()
    host.change_key()
    error = failure(agents, host)
    assert isinstance(error, HostKeyError)
    assert error.exit_code == 3
    assert "hosts trust" in error.remedy


def test_a_host_without_python_says_what_to_install(fresh: Fresh, agents: Agents) -> None:
    host = fresh()
    host.shell("mv /usr/bin/python3 /usr/bin/python3.gone")
    error = failure(agents, host)
    assert isinstance(error, UnfitError)
    assert "there is no python3 to run" in error.detail
    assert "3.9" in error.remedy


def test_a_python_that_is_too_old_is_named_with_its_version(fresh: Fresh, agents: Agents) -> None:
    host = fresh()
    host.shell(OLD_PYTHON)
    error = failure(agents, host, python="/usr/local/bin/python-old")
    assert isinstance(error, UnfitError)
    assert "is Python 3.6; the agent needs 3.9" in error.detail


@pytest.mark.parametrize(("user", "password"), [("bench", None), ("plain", PASSWORD)])
def test_sudo_that_works_is_fit(lab: Lab, agents: Agents, user: str, password: str | None) -> None:
    require_fit([agents.host(lab.host("h1"), user, become=True)], password)


@pytest.mark.parametrize("password", [None, "wrong"])
def test_sudo_that_is_refused_is_named(lab: Lab, agents: Agents, password: str | None) -> None:
    host = agents.host(lab.host("h1"), "plain", become=True)
    with pytest.raises(UnfitError, match=r"h1: sudo: ") as caught:
        require_fit([host], password)
    assert caught.value.exit_code == 3
    assert PASSWORD not in str(caught.value)


def test_a_clock_that_is_an_hour_off_is_named(fresh: Fresh, agents: Agents) -> None:
    host = fresh(realtime=3600)
    checks = {check.name: check for check in examine([agents.host(host)])[host.name]}
    assert not checks["clock"].fit
    offset, unit, _ = checks["clock"].found.split(maxsplit=2)
    assert unit == "s"
    assert float(offset) == pytest.approx(3600, abs=60)


def test_a_full_disk_at_start_is_named(fresh: Fresh, agents: Agents) -> None:
    host = fresh(disks={"/root/.cache": "16k"})
    error = failure(agents, host)
    assert isinstance(error, UnfitError)
    assert "cannot be kept in /root/.cache/benchctl/agent" in error.detail
    assert "No space left" in error.detail
    assert not host.shell("find /root/.cache -type f -size +0"), "half a program stays"


def test_two_runs_never_share_a_host(lab: Lab, agents: Agents) -> None:
    host = lab.host("h1")
    agents(host)
    error = failure(agents, host, run=f"{agents.run}-two")
    assert isinstance(error, LeaseError)
    assert error.exit_code == 3
    assert agents.run in error.detail


def test_an_idle_agent_of_an_older_version_makes_way(lab: Lab, agents: Agents, tmp_path: Path) -> None:
    old = older(lab.host("h1"), agents, tmp_path)
    new = agents(lab.host("h1"))
    assert new.hello["pid"] != old.hello["pid"]
    old.close()


def test_an_agent_of_an_older_version_at_work_is_left_alone(lab: Lab, agents: Agents, tmp_path: Path) -> None:
    host = lab.host("h1")
    old = older(host, agents, tmp_path)
    old.keep_lease("tests", 60)
    launch(old, "t1", "import time; time.sleep(120)")
    error = failure(agents, host)
    assert isinstance(error, AgentError)
    assert "another version" in error.detail
    old.call("end", timeout=LIMIT)
    old.close()
    assert agents(host).hello["pid"] != old.hello["pid"]


def older(host: LabHost, agents: Agents, folder: Path) -> AgentConnection:
    """Start the run's agent from a program with another hash, as another version of benchctl would."""
    program = folder / "old.pyz"
    shutil.copy(build.zipapp(layout.cache_folder()), program)
    with zipfile.ZipFile(program, "a") as archive:
        archive.writestr("older", "")
    named = program.rename(folder / f"{hashlib.sha256(program.read_bytes()).hexdigest()}.pyz")
    words = ["attach", "--run", agents.run, "--ttl", "60"]
    connection = AgentConnection(transport_to(agents.host(host)), named, words)
    connection.hello = connection.call("hello", timeout=LIMIT)
    return connection
