"""The agents of all hosts as one: the same operation everywhere at once.

Owns waiting for many replies without a thread for each. Must not know what the operations do.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from benchctl.benchmark.connection import merged
from benchctl.errors import BenchctlError

if TYPE_CHECKING:
    from benchctl.benchmark.protocol import Agent, Clock, Pending

Reply = dict[str, Any]
Args = Reply | Callable[[str], Reply] | None

CLOCK_TIMEOUT = 30.0  # seconds
CLOCK_FRESH = 0.25  # seconds for which a measurement needs no new one: little drifts in it
CLOCK_ROUNDS = 2  # side by side; the first also shakes off what slept


class Fleet(Mapping[str, "Agent"]):
    """Hosts by name, in the order of the inventory."""

    def __init__(self, agents: Mapping[str, Agent]) -> None:
        self._agents = dict(agents)
        self._measured: dict[str, float] = {}  # when the clock of a host was, on ours

    def __getitem__(self, host: str) -> Agent:
        return self._agents[host]

    def __iter__(self) -> Iterator[str]:
        return iter(self._agents)

    def __len__(self) -> int:
        return len(self._agents)

    @property
    def round_trip(self) -> float:
        """The largest recent round trip to any host, in seconds."""
        return max((agent.round_trip for agent in self._agents.values()), default=0.0)

    def each(
        self, op: str, args: Args = None, *, hosts: Iterable[str] | None = None, timeout: float
    ) -> dict[str, Reply]:
        """Execute an operation on all hosts, or some, side by side; return the replies by host.

        `args` are the same for all, or worked out for each host's name. `timeout` is in seconds for each. All
        replies are waited for; then the errors of all hosts are raised as one, of the kind that they share.
        """
        asked = list(self._agents if hosts is None else hosts)
        found = dict(self.stream(op, args, hosts=asked, timeout=timeout))
        errors = [reply for host in asked if isinstance(reply := found[host], BenchctlError)]
        if errors:
            raise merged(errors)
        return {host: reply for host in asked if not isinstance(reply := found[host], BenchctlError)}

    def stream(
        self, op: str, args: Args = None, *, hosts: Iterable[str] | None = None, timeout: float
    ) -> Iterator[tuple[str, Reply | BenchctlError]]:
        """As `each`, but give each host's reply or error as it comes; all are asked before the first."""
        news = threading.Event()
        waiting: dict[str, Pending] = {}
        early: list[tuple[str, BenchctlError]] = []
        for host in list(self._agents if hosts is None else hosts):
            try:
                given = args(host) if callable(args) else args or {}
                waiting[host] = self._agents[host].submit(op, **given)
            except BenchctlError as error:
                early.append((host, error))
        for pending in waiting.values():
            pending.watch(news)
        yield from early
        deadline = time.monotonic() + timeout
        while waiting:
            left = deadline - time.monotonic()
            if left > 0:
                news.wait(left)
            news.clear()
            ready = [host for host, pending in waiting.items() if pending.done or left <= 0]
            for host in ready:
                yield host, _outcome(waiting.pop(host), max(left, 0.001))

    def clocks(self, hosts: Iterable[str] | None = None) -> dict[str, Clock]:
        """Return how the clocks of all hosts, or some, stand to ours; measured anew if that is old."""
        asked = list(self._agents if hosts is None else hosts)
        now = time.monotonic()
        if any(now - self._measured.get(host, -math.inf) > CLOCK_FRESH for host in asked):
            for _ in range(CLOCK_ROUNDS):
                self.each("clock", hosts=asked, timeout=CLOCK_TIMEOUT)
            self._measured.update(dict.fromkeys(asked, now))
        return {host: self._agents[host].clock() for host in asked}

    def close(self) -> None:
        """Close all connections."""
        for agent in self._agents.values():
            agent.close()


def _outcome(pending: Pending, timeout: float) -> Reply | BenchctlError:
    try:
        return pending.result(timeout)
    except BenchctlError as error:
        return error
