"""What every trial of a run shares: the host's agent, the descriptors, the places for files and facts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from benchctl.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchctl import gates
    from benchctl.benchmark.cancel import Cancel
    from benchctl.benchmark.connection import Agent
    from benchctl.journal import Journal
    from benchctl.model.event import Listener
    from benchctl.model.measurement import Trial
    from benchctl.model.plan import Plan


class Sink(Protocol):
    """Where trials go; the run directory in a run."""

    def raw_folder(self, ordinal: int) -> Path: ...
    def attempt(self, ordinal: int) -> int: ...
    def abandon(self, ordinal: int) -> None: ...
    def finish(self, trial: Trial) -> None: ...
    def is_done(self, ordinal: int) -> bool: ...


class Descriptor(NamedTuple):
    """A descriptor as it lies on the host, and its content."""

    path: str
    content: dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """The setting of a run's trials on one host."""

    plan: Plan
    host: str
    agent: Agent
    descriptors: dict[str, Descriptor]  # instance id or loader role
    images: dict[str, str]  # the plan's image id -> the image's name on the host
    sink: Sink
    journal: Journal
    listener: Listener
    cancel: Cancel
    context: gates.Context
    clock: Callable[[], float]  # the time of day, for what is recorded
    timer: Callable[[], float]  # seconds that no setting of the time of day moves, for limits and lengths

    @property
    def work(self) -> str:
        """The run's folder on the host."""
        return str(self.agent.hello["work"])

    def target(self, instance: Descriptor) -> dict[str, Any]:
        """How a load generator reaches the instance, with the run's private folder filled in."""
        runtime = self.agent.hello["runtime"]
        return {
            key: value.replace("{runtime}", runtime) if isinstance(value, str) else value
            for key, value in instance.content["target"].items()
        }


def read_descriptors(agent: Agent, paths: dict[str, str]) -> dict[str, Descriptor]:
    """Fetch the descriptors that configure left on the host. Raises StepError when one is not JSON."""
    with TemporaryDirectory() as folder:
        found = {}
        for name, path in paths.items():
            copy = Path(folder) / "descriptor.json"
            agent.fetch(path, copy)
            try:
                found[name] = Descriptor(path, json.loads(copy.read_text(encoding="utf-8")))
            except ValueError as error:
                raise StepError(
                    f"{path}: not a descriptor: {error}", remedy="`--force` configures again"
                ) from error
        return found
