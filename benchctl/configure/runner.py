"""The boundaries of this room: what runs a playbook, and what asks a host over the open connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


class Played(NamedTuple):
    """What a playbook did: how many tasks changed something on all hosts, and where its full log is."""

    changed: int
    log: Path


class PlaybookRunner(Protocol):
    """Runs one of benchctl's playbooks; AnsibleRunner and testing.playbooks.FakePlaybookRunner are both."""

    @property
    def roles_path(self) -> tuple[Path, ...]:
        """The folders that roles are taken from, first match first."""

    def run(
        self,
        playbook: str,
        inventory: Mapping[str, Any],
        variables: Mapping[str, Any],
        *,
        folder: Path,
        on_event: Callable[[str], None],
    ) -> Played:
        """Run the playbook of that name to its end; its log and events stay in `folder`.

        `inventory` has Ansible's shape, `variables` reach Ansible as JSON. `on_event` gets
        "host: role : task" for each task that changed something or failed. Raises ConvergeError.
        """


class AgentLike(Protocol):
    """The part of an agent's connection that this room needs."""

    def call(self, op: str, *, timeout: float, **args: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
        """Execute one operation on the host; raises AgentError for what it refuses."""
