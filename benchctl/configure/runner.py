"""The boundaries of this room: what runs a playbook, and what asks hosts over the open connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from benchctl.errors import BenchctlError


class Played(NamedTuple):
    """What a playbook did: how many tasks changed something on all hosts, and where its full log is."""

    changed: int
    log: Path


class Access(NamedTuple):
    """What comes from the user alone: an inventory with variables of its own, and sudo's password."""

    inventory: Path | None = None
    become_password: str | None = None


NO_ACCESS = Access()


class Call(NamedTuple):
    """What a runner is told: one of benchctl's playbooks, for whom, with what.

    `inventory` has Ansible's shape, `variables` reach Ansible as JSON. An inventory of the user's is read
    before it, for the same hosts only. Log and events stay in `folder`. `on_event` gets "host: role : task"
    for each task that changed something or failed.
    """

    playbook: str
    inventory: Mapping[str, Any]
    variables: Mapping[str, Any]
    folder: Path
    on_event: Callable[[str], None]
    access: Access = NO_ACCESS


class PlaybookRunner(Protocol):
    """Runs one of benchctl's playbooks; AnsibleRunner and testing.playbooks.FakePlaybookRunner are both."""

    @property
    def roles_path(self) -> tuple[Path, ...]:
        """The folders that roles are taken from, first match first."""

    def run(self, call: Call) -> Played:
        """Run the playbook to its end. Raises ConvergeError."""


class AgentLike(Protocol):
    """One agent, as this room knows it."""

    @property
    def hello(self) -> Mapping[str, Any]:
        """What the agent said of its host: `cache` is benchctl's folder there."""


class FleetLike(Protocol):
    """The part of the agents of all hosts that this room needs."""

    def __getitem__(self, host: str) -> AgentLike:
        """The agent of a host."""

    def each(
        self,
        op: str,
        args: Callable[[str], dict[str, Any]],
        *,
        hosts: Iterable[str] | None = None,
        timeout: float,
    ) -> dict[str, dict[str, Any]]:
        """Execute one operation on many hosts at once; return the replies, or raise all errors as one."""

    def stream(
        self,
        op: str,
        args: Callable[[str], dict[str, Any]],
        *,
        hosts: Iterable[str] | None = None,
        timeout: float,
    ) -> Iterator[tuple[str, dict[str, Any] | BenchctlError]]:
        """Execute one operation on many hosts at once; give each host's reply, or error, as it comes."""
