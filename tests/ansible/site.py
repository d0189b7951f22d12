"""Hosts of the lab with the playbooks on them, and what such a host has."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

from benchctl.agent import process
from benchctl.spec.share import shared
from tests.lab.host import await_true

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.ansible.conftest import Outcome, Player
    from tests.lab.fixtures import Fresh
    from tests.lab.host import LabHost

SNAPSHOT = (shared("molecule") / "snapshot.sh").read_text(encoding="utf-8")

LIMIT = 300.0  # s, for a playbook to come so far


def words(outcome: Outcome) -> str:
    return " ".join(outcome.text.split())


def succeed(outcome: Outcome) -> Outcome:
    assert outcome.code == 0, outcome.text[-8000:]
    return outcome


class Site:
    """Two hosts, one for each group, or a host of both, and the playbooks on them."""

    def __init__(
        self, fresh: Fresh, player: Player, user: str, variables: dict[str, Any], names: tuple[str, ...]
    ) -> None:
        self.hosts = [fresh(name=name) for name in names]
        self.dbms, self.loader = self.hosts[0], self.hosts[-1]
        self.inventory = fresh.lab.inventory(
            {"dbms": [self.dbms], "loader": [self.loader]}, user=user, **variables
        )
        self.player = player

    def play(self, playbook: str, *arguments: str, **variables: Any) -> Outcome:
        return self.player(playbook, *arguments, *extra(variables), inventory=self.inventory)

    def play_until(self, condition: Callable[[], object], what: str, playbook: str, **variables: Any) -> None:
        """Kill it, with all its children here, as soon as the condition holds."""
        started = self.player.start(playbook, *extra(variables), inventory=self.inventory)
        try:
            await_true(lambda: condition() or started.poll() is not None, what, LIMIT)
            assert started.poll() is None, started.communicate()[0][-8000:]
        finally:
            kill(started)

    def snapshots(self) -> list[list[str]]:
        return [host.shell(SNAPSHOT).splitlines() for host in self.hosts]


def extra(variables: dict[str, Any]) -> tuple[str, ...]:
    return ("-e", json.dumps(variables)) if variables else ()


def holds(host: LabHost, condition: str) -> bool:
    return host.shell(f"if {condition} >/dev/null; then echo yes; fi").strip() == "yes"


def kill(started: subprocess.Popen[str]) -> None:
    """It and all below it, as when somebody kills them all at once; nothing when it has ended.

    By descent: Ansible's workers lead sessions of their own. Stopped first, so that none is born meanwhile.
    """
    if started.poll() is None:
        started.send_signal(signal.SIGSTOP)
        below = set(process.descendants(started.pid))
        process.kill_all({started.pid, *below})
        started.communicate()
        assert process.await_gone(below) == set()
