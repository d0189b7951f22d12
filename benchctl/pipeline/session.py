"""What the steps of one execution share; the connection to the host opens at its first use."""

from __future__ import annotations

import getpass
import os
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchctl.errors import BenchctlError, ConnectionLostError
from benchctl.model.event import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchctl.benchmark.cancel import Cancel
    from benchctl.benchmark.connection import Agent
    from benchctl.configure import PlaybookRunner
    from benchctl.journal import Journal
    from benchctl.model.event import Listener
    from benchctl.model.host import Host, Inventory
    from benchctl.model.plan import Plan
    from benchctl.provision import Provisioner
    from benchctl.results.store import RunStore

LEASE_TTL = 300.0  # seconds without a word from the controller until the host cleans up by itself
HELLO_LIMIT = 30.0  # seconds
REMOVE_LIMIT = 300.0  # seconds: a large data folder on a slow disk
END_LIMIT = 180.0  # seconds: every service gets its own time to stop


@dataclass
class Session:
    """Everything that an execution gets from outside, and the agent it opened."""

    store: RunStore
    plan: Plan
    journal: Journal
    listener: Listener
    cancel: Cancel
    clock: Callable[[], float]  # the time of day
    timer: Callable[[], float]  # seconds that no setting of the time of day moves
    provisioner: Provisioner
    runner: PlaybookRunner
    connect: Callable[[Host, str, str, float], Agent]  # host, run, owner, ttl
    force: bool = False
    _agent: Agent | None = field(default=None, init=False)

    def inventory(self) -> Inventory:
        return self.store.inventory()

    def agent(self) -> Agent:
        """The agent of the run's one host."""
        if self._agent is None:
            (host,) = self.inventory().hosts
            with self.journal.act("connect", host=host.name) as act:
                self._agent = self.connect(host, self.store.id, _owner(), LEASE_TTL)
                hello = self._agent.hello
                act.learned(work=hello["work"], runtime=hello["runtime"], boot_id=hello["boot_id"])
        return self._agent

    def living_agent(self) -> Agent:
        """The agent, reached again when its connection or its supervisor is gone."""
        try:
            self.agent().call("hello", timeout=HELLO_LIMIT)
        except ConnectionLostError:
            self.close()
        return self.agent()

    def release(self) -> None:
        """Stop what still runs for this run on the host, end its supervisor, close the connection."""
        if self._agent is None:
            return
        agent = self.living_agent()
        with self.journal.act("end", host=agent.host) as act:
            stopped = agent.call("end", timeout=END_LIMIT)["stopped"]
            act.learned(stopped=stopped)
        if stopped:
            self.listener(Message(level="warning", text=f"stopped on {agent.host}: {', '.join(stopped)}"))
        self.close()

    def give_back(self, *, destroying: bool) -> None:
        """Do what `release` and destroy do without a word in the journal, as far as it goes.

        For a run directory that takes no more entries: the journal then still says that the hosts are in use,
        and whoever comes next looks again.
        """
        if self._agent is None:
            return
        with suppress(BenchctlError):
            if destroying:
                self._agent.call("remove", timeout=REMOVE_LIMIT, path=self._agent.hello["work"])
            self._agent.call("end", timeout=END_LIMIT)

    def close(self) -> None:
        """Close the connection; what runs on the host is not touched."""
        if self._agent is not None:
            self._agent.close()
            self._agent = None


def _owner() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()} (pid {os.getpid()})"
