"""What the steps of one execution share; the connections to the hosts open at their first use."""

from __future__ import annotations

import getpass
import os
import socket
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchctl.benchmark.fleet import Fleet
from benchctl.benchmark.reboot import reboot_all
from benchctl.errors import BenchctlError, ConnectionLostError
from benchctl.model.event import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchctl.benchmark.cancel import Cancel
    from benchctl.benchmark.protocol import Agent
    from benchctl.configure import PlaybookRunner
    from benchctl.journal import Journal
    from benchctl.model.event import Listener
    from benchctl.model.host import Host, Inventory
    from benchctl.model.plan import Plan
    from benchctl.provision import HostMaker, Provisioner
    from benchctl.results.store import RunStore

LEASE_TTL = 300.0  # seconds without a word from the controller until a host cleans up by itself
HELLO_LIMIT = 30.0  # seconds
REMOVE_LIMIT = 300.0  # seconds: a large data folder on a slow disk
END_LIMIT = 180.0  # seconds: every service gets its own time to stop


@dataclass
class Session:
    """Everything that an execution gets from outside, and the agents it reached."""

    store: RunStore
    plan: Plan
    journal: Journal
    listener: Listener
    cancel: Cancel
    clock: Callable[[], float]  # the time of day
    timer: Callable[[], float]  # CLOCK_MONOTONIC: seconds that no setting of the time of day moves
    provisioner: Provisioner
    runner: PlaybookRunner
    connect: Callable[[Sequence[Host], str, str, float], Mapping[str, Agent]]  # hosts, run, owner, ttl
    force: bool = False
    become_password: str | None = field(default=None, repr=False)  # typed for this execution, never stored
    tuned: bool = field(default=False, init=False)  # in this execution
    _fleet: Fleet | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)  # of _fleet on the way back

    def inventory(self) -> Inventory:
        return self.store.inventory()

    @property
    def maker(self) -> HostMaker | None:
        """What made the hosts for this run, where they are not there anyway."""
        from benchctl.provision import HostMaker

        return self.provisioner if isinstance(self.provisioner, HostMaker) else None

    @property
    def reached(self) -> Mapping[str, Agent]:
        """The agents that this execution has reached; none before the first use of `fleet`."""
        return self._fleet or {}

    def fleet(self) -> Fleet:
        """The agents of all hosts of the run: all of them, or an error with those that are not to be had."""
        if self._fleet is None:
            hosts = self.inventory().hosts
            with ExitStack() as stack:
                acts = {
                    host.name: stack.enter_context(self.journal.act("connect", host=host.name))
                    for host in hosts
                }
                self._fleet = Fleet(self.connect(hosts, self.store.id, owner(), LEASE_TTL))
                for name, act in acts.items():
                    act.learned(**_whereabouts(self._fleet[name]))
        return self._fleet

    def living_agent(self, host: Host) -> Agent:
        """The agent of one host, reached again when its connection or its supervisor is gone."""
        agent = self.reached.get(host.name)
        if agent is not None:
            try:
                agent.call("hello", timeout=HELLO_LIMIT)
            except ConnectionLostError:
                agent.close()
            else:
                return agent
        with self.journal.act("connect", host=host.name) as act:
            agent = self.connect([host], self.store.id, owner(), LEASE_TTL)[host.name]
            with self._lock:
                self._fleet = Fleet({**self.reached, host.name: agent})
            act.learned(**_whereabouts(agent))
        return agent

    def reboot(self, names: Sequence[str], password: str | None) -> None:
        """Have hosts boot again, side by side, and reach them again; their agents are new ones then."""
        hosts = [host for host in self.inventory().hosts if host.name in names]
        self.listener(
            Message(level="info", text=f"{', '.join(names)}: boots again for its kernel parameters")
        )
        with ExitStack() as stack:
            acts = {name: stack.enter_context(self.journal.act("reboot", host=name)) for name in names}
            booted = reboot_all(
                hosts,
                self.reached,
                lambda host: self.connect([host], self.store.id, owner(), LEASE_TTL)[host.name],
                password=password or "",
                cancelled=lambda: self.cancel.requested,
            )
            self._fleet = Fleet({**self.reached, **booted})
            for name, act in acts.items():
                act.learned(**_whereabouts(booted[name]))

    def give_back(self, *, destroying: bool) -> None:
        """Do what the way back does without a word in the journal, as far as it goes.

        For a run directory that takes no more entries: the journal then still says that the hosts are in use,
        and whoever comes next looks again.
        """
        for agent in self.reached.values():
            with suppress(BenchctlError):
                if destroying:
                    agent.call("remove", timeout=REMOVE_LIMIT, path=agent.hello["work"])
                agent.call("end", timeout=END_LIMIT)

    def close(self) -> None:
        """Close the connections; what runs on the hosts is not touched."""
        if self._fleet is not None:
            self._fleet.close()
            self._fleet = None


def _whereabouts(agent: Agent) -> dict[str, Any]:
    return {name: agent.hello[name] for name in ("work", "runtime", "boot_id")}


def owner() -> str:
    """Return who holds the leases of this execution, for whom they keep out."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()} (pid {os.getpid()})"
