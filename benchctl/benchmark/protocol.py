"""What the benchmark asks of a host's agent, whoever it is: the real one over a connection, or a fake.

Owns these types only. Must not know how requests travel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence
    from pathlib import Path


class Clock(NamedTuple):
    """How a host's clock stands to the controller's."""

    offset: float
    """The host's CLOCK_MONOTONIC minus the controller's, in seconds."""
    uncertainty: float
    """The true offset lies within this many seconds of it."""


class Pending(Protocol):
    """An operation that was submitted."""

    @property
    def done(self) -> bool:
        """Whether the reply is there, or none will come any more."""

    def result(self, timeout: float) -> dict[str, Any]:
        """Wait for the reply up to `timeout` seconds and return it; raises what `Agent.call` raises."""

    def watch(self, event: threading.Event) -> None:
        """Set `event` when it is done, at once if it is."""


class Agent(Protocol):
    """What the executor needs of an agent; AgentConnection and testing.agent.FakeAgent are both."""

    @property
    def host(self) -> str:
        """The name of the host, as messages show it."""

    @property
    def hello(self) -> dict[str, Any]:
        """The agent's reply to `hello`: cache, work, runtime, boot_id, pid, …."""

    @property
    def round_trip(self) -> float:
        """The largest recent time from a request to its reply, in seconds; 0 before the first `clock`."""

    def call(self, op: str, *, timeout: float, **args: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
        """Execute one operation and return its reply without `id` and `ok`; `timeout` in seconds."""

    def submit(self, op: str, **args: Any) -> Pending:  # noqa: ANN401 - JSON values
        """Begin one operation; several may be under way at once."""

    def fetch(self, path: str, destination: Path) -> str:
        """Copy a file of the host to `destination`; return its SHA-256, checked on both ends."""

    def fetch_all(self, files: Sequence[tuple[str, Path]]) -> list[str]:
        """Copy many files without waiting for one before asking for the next; return their SHA-256."""

    def put(self, source: Path, path: str, *, executable: bool = False) -> str:
        """Copy a file to the host, only below the run's work folder there; return its SHA-256."""

    def clock(self) -> Clock:
        """Measure how the host's clock stands to ours: much the first time, little when it is known."""

    def close(self) -> None:
        """Let go of the connection; the supervisor and what it runs go on until its lease ends."""
