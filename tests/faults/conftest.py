"""Agents on hosts of the lab, and the proof that each was left as it was found."""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchctl.benchmark.connection import AgentConnection, connect
from benchctl.errors import BenchctlError
from benchctl.model.host import Host
from tests.faults.whole import Site, Whole
from tests.lab.host import LabHost, await_true

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.lab import Lab

LIMIT = 60.0
AGENTS = "ps -eo args | grep '[b]enchctl' || true"


class Agents:
    """Connects to a run's agents as a controller does, and sees that `end` leaves nothing running."""

    def __init__(self) -> None:
        self.run = f"run-{secrets.token_hex(4)}"
        self.notices: list[str] = []
        self.open: list[tuple[LabHost, AgentConnection]] = []

    def host(self, host: LabHost, user: str = "root", **options: Any) -> Host:
        given = {**host.options(user), "connect_timeout": 5, **options}
        return Host(name=host.name, transport="ssh", options=given)

    def __call__(self, host: LabHost, run: str = "", user: str = "root", **options: Any) -> AgentConnection:
        agent = connect(
            self.host(host, user, **options),
            run or self.run,
            owner="tests",
            ttl=120,
            on_notice=self.notices.append,
        )
        self.open.append((host, agent))
        return agent

    def close(self) -> None:
        for _, agent in self.open:
            with contextlib.suppress(BenchctlError):
                agent.call("end", timeout=LIMIT)
            agent.close()
        for host, _ in self.open:
            await_true(lambda host=host: not host.shell(AGENTS), "no agent runs")  # type: ignore[misc]
            assert not host.shell("find /tmp /run -name 'benchctl*' -path '*run-*' -print")


@pytest.fixture(autouse=True)
def _controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHCTL_CACHE", str(tmp_path / "controller"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def agents() -> Iterator[Agents]:
    made = Agents()
    yield made
    made.close()


def launch(agent: AgentConnection, task: str, script: str, **more: Any) -> str:
    """Start Python lines as a task; return its folder."""
    cwd = f"{agent.hello['work']}/trials/{task}"
    argv = ["python3", "-c", script]
    agent.call("launch", **{"timeout": LIMIT, "task": task, "argv": argv, "cwd": cwd, "limit": 300, **more})
    return cwd


@pytest.fixture(scope="module")
def site(lab: Lab) -> Iterator[Site]:
    made = Site(lab, ("server", "left", "right"))
    yield made
    made.close()


@pytest.fixture
def whole(site: Site, tmp_path: Path) -> Iterator[Whole]:
    """A workspace and the real command on the hosts of the module's `site`."""
    with tempfile.TemporaryDirectory(prefix="bt") as runtime:
        made = Whole(tmp_path, Path(runtime))
        yield made
        site.mend()
        made.close()
