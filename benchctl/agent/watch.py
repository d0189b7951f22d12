"""Watches: a sampler over a warm-up and a window that stand on the clock, in a thread of its own.

Owns when samples are taken. A watch goes on without any connection; it ends with its window, with its task,
or when it is told to.
"""

import itertools
import math
import threading
import time
from pathlib import Path
from typing import Callable, Iterator, NamedTuple, Optional, Tuple

from benchctl.agent import layout
from benchctl.agent.context import Context, Handle
from benchctl.agent.refusal import RefusalError
from benchctl.agent.sampler import Sampler
from benchctl.agent.sources import Sources
from benchctl.agent.task import Task
from benchctl.agent.wire import Json

SAMPLES = "host.samples"
_START_LIMIT = 1.0  # seconds in which the task that starts with the watch should have begun
_AFTER = 0.005  # seconds after its start at which the first sample of a task comes, so as not to make it late


class Moment(NamedTuple):
    """When to take one sample, on CLOCK_MONOTONIC."""

    at: float
    edge: bool
    warmup: bool


class Span(NamedTuple):
    """What is sampled, in seconds; without a `start` from the task's on."""

    start: Optional[float]  # CLOCK_MONOTONIC
    warmup: float
    duration: float
    hertz: float

    def most(self) -> int:
        """Samples in it, edges included, one too many rather than one too few."""
        return math.ceil((self.warmup + self.duration) * self.hertz) + 3


class Watch:
    """One sampler and its thread."""

    def __init__(
        self,
        path: Path,
        span: "Span",
        task: Optional[Task],
        server: Optional[Handle],
        sources: Sources,
        placed: Callable[[str], Optional[str]],
    ) -> None:
        """Describe a watch; nothing is opened before `begin`. `placed`: see Sampler."""
        self.path = path
        self._span = span
        self._task = task
        self._server = server
        self._sources = sources
        self._placed = placed
        self._stopped = threading.Event()
        self._wake = threading.Event()
        self._sampler: Optional[Sampler] = None
        self._thread: Optional[threading.Thread] = None

    def begin(self) -> None:
        """Open all that is to be sampled, and go on in a thread. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        server = self._server.pid if self._server else None
        sampler = self._sampler = Sampler(
            self.path, server, self._sources, expected=self._span.most(), placed=self._placed
        )
        if self._task is not None:
            self._task.watch(self._wake)
        name = f"watch-{self.path.parent.name}"
        self._thread = threading.Thread(target=self._live, args=(sampler,), name=name, daemon=True)
        self._thread.start()

    def end(self) -> Json:
        """End it now unless it has ended; return how many samples there are, and their file."""
        self._stopped.set()
        self._wake.set()
        if self._thread is None or self._sampler is None:
            return {"samples": 0, "files": []}
        self._thread.join()
        files = [{"path": self.path.name, "size": self.path.stat().st_size}] if self.path.exists() else []
        return {"samples": self._sampler.taken, "files": files}

    def _live(self, sampler: Sampler) -> None:
        try:
            start = self._await_start()
            if start is None:
                return
            for moment, following in _with_next(moments(start, *self._span[1:])):
                if following and not moment.edge and following.at <= time.monotonic():
                    continue  # behind: what is missed is not made up
                first = not sampler.taken and self._task is not None
                if not self._await(moment.at + _AFTER if first else moment.at):
                    if first and time.monotonic() >= moment.at:
                        self._take(sampler, moment, edge=moment.edge)
                    if sampler.taken:
                        self._take(sampler, moment, edge=True)
                    return
                if first and self._task is not None:
                    self._task.begun.wait(_START_LIMIT)
                self._take(sampler, moment, edge=moment.edge)
        finally:
            sampler.close()

    def _await_start(self) -> Optional[float]:
        """Wait until the start is known; None when it was ended before."""
        task = self._task
        if self._span.start is not None or task is None:
            return self._span.start
        while task.instant is None and not self._stopped.is_set() and not task.over.is_set():
            self._wake.wait()
            self._wake.clear()
        return task.instant

    def _await(self, at: float) -> bool:
        """Wait until an instant; say whether it came before the end."""
        while not self._stopped.is_set() and not (self._task and self._task.over.is_set()):
            left = at - time.monotonic()
            if left <= 0:
                return True
            self._wake.wait(left)
            self._wake.clear()
        return False

    def _take(self, sampler: Sampler, moment: Moment, *, edge: bool) -> None:
        child = self._task.child if self._task else None
        ended = None
        if child is not None and child.usage is not None:
            ended = child.usage.ru_utime + child.usage.ru_stime
        sampler.take(child.pid if child else None, edge=edge, warmup=moment.warmup, ended=ended)


def watch(  # noqa: PLR0913, PLR0917 - the protocol's own arguments
    context: Context,
    watch: str,
    cwd: str,
    warmup: float,
    duration: float,
    hz: float,
    start: Optional[float] = None,
    task: Optional[str] = None,
    service: Optional[str] = None,
) -> Json:
    """Sample the host from `start` (CLOCK_MONOTONIC) on into cwd/host.samples; the same id begins once.

    Without `start` from the start of `task`, whenever that is told. `warmup` and `duration` in seconds: the
    window's edges are at start + warmup and `duration` later. It ends early with an edge when `task` ends.
    """
    if duration <= 0 or warmup < 0 or hz <= 0:
        raise RefusalError("watch: duration and hz are more than 0, warmup is not less")
    if start is None and task is None:
        raise RefusalError("watch: it needs a start, or a task to start with")
    folder = Path(cwd)
    if not folder.is_absolute() or ".." in folder.parts or not layout.below(folder, context.work):
        raise RefusalError(f"{folder} is not below {context.work}: no samples of this run belong there")
    with context.lock:
        if watch in context.watches:
            return {}
        found = context.tasks.get(task) if task is not None else None
        if task is not None and found is None:
            raise RefusalError(f"there is no task {task} to watch; launch it first")
        server = context.services.get(service) if service is not None else None
        if service is not None and server is None:
            raise RefusalError(f"{service} is not running, so there is nothing to watch", "service")
        span = Span(start, warmup, duration, hz)
        if context.sources is None:
            context.sources = Sources()
        owners = {"task": task, "service": service}

        def placed(name: str) -> Optional[str]:
            return context.reaper.placed.get(owners[name] or "")

        begun = context.watches[watch] = Watch(folder / SAMPLES, span, found, server, context.sources, placed)
    try:
        begun.begin()  # not under the lock: a `go` must not wait for it
    except OSError as error:
        context.watches.pop(watch, None)
        raise RefusalError(f"watch {watch}: {error}", "internal") from error
    return {}


def unwatch(context: Context, watch: str) -> Json:
    """End a watch, at once if it is under way; return what it left. Well if it never was."""
    with context.lock:
        found = context.watches.get(watch)
    return found.end() if found else {"samples": 0, "files": []}


def moments(start: float, warmup: float, duration: float, hertz: float) -> Iterator[Moment]:
    """From the start on each 1/hertz seconds, at the window's start, from there on again, at its end."""
    step, begin, end = 1 / hertz, start + warmup, start + warmup + duration
    if warmup:
        for at in _steps(start, begin, step):
            yield Moment(at, edge=False, warmup=True)
    yield Moment(begin, edge=True, warmup=False)
    for at in itertools.islice(_steps(begin, end, step), 1, None):
        yield Moment(at, edge=False, warmup=False)
    yield Moment(end, edge=True, warmup=False)


def _steps(start: float, end: float, step: float) -> Iterator[float]:
    """From the start on, and not so near to the end that the next one would crowd it."""
    yield start
    number = 1
    while start + step * number < end - step / 2:
        yield start + step * number
        number += 1


def _with_next(moments: Iterator[Moment]) -> Iterator[Tuple[Moment, Optional[Moment]]]:
    """Each with the one after it."""
    moment = next(moments)
    for following in moments:
        yield moment, following
        moment = following
    yield moment, None
