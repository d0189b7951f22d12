"""What every load generator's module offers, and how it is found: by the role's name.

A module of this room is named as its role; a name that starts with `_` is a part of another. Other packages
bring theirs by entry points (`plugins`); none takes the place of one of this room. Each has seven
functions: `names` says what will be measured, `prepare`, `command` and `null_run` what to execute; `parse`,
`samples` and `latencies` read the raw folder of a finished trial. Numbers come from the raw files and the
given window alone, so that they can be derived again at any time, offline.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from benchctl.errors import UsageError
from benchctl.loaders import plugins

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from benchctl.model.experiment import Value, Workload
    from benchctl.model.measurement import LoaderResult, TaskResult, Window

    Ints = NDArray[np.integer]

Descriptor = dict[str, Any]
Target = dict[str, Any]
_ROOM = {"loader", "merge", "plugins"}


class Command(NamedTuple):
    """What the agent executes, never through a shell; no secret ever stands in it."""

    argv: tuple[str, ...]
    env: dict[str, str]


class NullRun(NamedTuple):
    """A short run against a target that does nothing, to see what the load generator reaches at most."""

    workload: Workload  # as fast as it goes
    target: Target  # how the load generator reaches the null target
    against: dict[str, Any]  # the null target, in the words of the agent's `launch`


class Loader(Protocol):
    """The boundary between a load generator and the rest of the program.

    `ENDS_ITSELF` says that the program decides when it is done: the window then ends with it.
    """

    @property
    def ENDS_ITSELF(self) -> bool: ...  # noqa: N802 - a constant of a module

    def names(self, workload: Workload) -> frozenset[str] | None:
        """The metrics that this workload gives; None where only the run can tell.

        Raises SpecError for what this load generator cannot have.
        """

    def prepare(
        self, options: Mapping[str, Value], descriptor: Descriptor, target: Target | None, seed: int
    ) -> Command | None:
        """The command that fills a fresh data image, run while it is built; None when nothing is needed."""

    def command(
        self, workload: Workload, descriptor: Descriptor, target: Target | None, seed: int
    ) -> Command:
        """The command of one trial: one process that runs through warm-up and window.

        Its working folder is an empty folder of the trial's own; all that it writes there becomes raw files.
        Raises SpecError for options that this load generator cannot have.
        """

    def null_run(
        self, workload: Workload, descriptor: Descriptor, target: Target, runtime: str
    ) -> NullRun | None:
        """The run that shows the most this workload can reach on its host, where that can be shown.

        The null target listens in the folder `runtime` where `target` is a socket, else at the loopback. None
        where it cannot answer in the target's place. Only what the load generator does itself is in it:
        neither the network nor a target that takes its time.
        """

    def parse(
        self, raw: Path, window: Window, workload: Workload, task: TaskResult | None = None
    ) -> LoaderResult:
        """The common form of the raw files, limited to the window.

        Raises ParseError, with file and line, for anything that is not known or does not add up.
        """

    def samples(self, raw: Path, window: Window) -> pa.Table | None:
        """Every successful request inside the window, in the order of completion; None when it keeps none.

        Columns: `completed` (seconds from the window's start), `latency_ms`, and where the load generator
        knows them `schedule_lag_ms` and `retries`. Raises ParseError as `parse` does.
        """

    def latencies(self, raw: Path, window: Window) -> dict[str, Ints]:
        """Microseconds of every successful request inside the window, in no order, by kind of time.

        The kinds are the beginnings of metrics' names: `latency`, and `schedule_lag` where it is known. From
        them come percentiles over several hosts; empty when nothing is kept. Raises ParseError.
        """


@cache
def shipped() -> frozenset[str]:
    """The load generators of this room, by role's name."""
    return frozenset(found.stem for found in Path(__file__).parent.glob("[!_]*.py")) - _ROOM


def known() -> frozenset[str]:
    """Those, and the ones that other packages bring."""
    return shipped() | {plugin.name for plugin in plugins.plugins("benchctl.loaders")}


def exists(role: str) -> bool:
    """Whether there is a load generator; other packages are asked only when it is none of this room."""
    return role in shipped() or role in known()


@cache
def get(role: str) -> Loader:
    """Find a load generator by its role's name.

    Raises:
        UsageError: there is none, with the known ones.
        UnfitError: a package that should bring it is broken, with its name.
    """
    if role in shipped():
        return cast("Loader", import_module(f"benchctl.loaders.{role}"))
    found = plugins.module(role)
    if found is None:
        raise UsageError(
            f"workload.role: there is no load generator {role!r}",
            remedy=f"known: {', '.join(sorted(known()))}",
        )
    return cast("Loader", found)
