"""The load on all its hosts at one instant: held, released at T0 in each host's own clock, watched, awaited.

Owns T0, the common timeline and what a late host means. Must not know what the load is: roles and stages say
which commands run where.

Every load is loaded and stopped before its first instruction, then told a T0 that lies a little ahead, in
its own host's CLOCK_MONOTONIC; nothing that the network does after that changes the start. The lead: two of
the largest recent round trips and a millisecond were enough in all trials of the prototype, one was late in
most; over long ways one round trip and three milliseconds do. On top of that each host has time to hear all
that it is told, for a host that is still reading at T0 starts late. A try after a late one has four times as
long.
A load that waits for no other is not held: it begins when it is there, and its own start is T0.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from benchctl.benchmark.evaluation import Ran
from benchctl.benchmark.filechannel import contents
from benchctl.errors import AgentError, BenchctlError, LateError, StepError
from benchctl.model.event import Message
from benchctl.model.measurement import Start, TaskResult, Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchctl.benchmark.attempt import Attempt
    from benchctl.benchmark.protocol import Clock, Pending

TELLING = 0.001  # seconds for each host: what is still being said and read at T0 makes the starts uneven
ROUNDS = 5  # tries, while a host learns of T0 too late
PATIENCE = 4  # how many times the lead of the try before
GRACE = 30.0  # seconds that a load may need beyond its window to connect, write its log and end
SILENCE = 150.0  # seconds beyond its limit until a load counts as lost: a cut connection comes back in 120

Reply = dict[str, Any]


class Launch(NamedTuple):
    """One host's command. `service` names an instance on the same host whose death ends it."""

    host: str
    argv: tuple[str, ...]
    env: dict[str, str]
    service: str | None = None
    shell: bool = False


class Timing(NamedTuple):
    """When the load is measured, and how long it may take; all in seconds."""

    warmup: float
    duration: float
    limit: float
    open_end: bool  # the load ends by itself: the window ends with it
    together: bool = True  # False: each host starts when it is there, which is no fault


class Loads(NamedTuple):
    """What became of the loads, before their output is read."""

    ran: tuple[Ran, ...]
    start: Start
    window: Window
    files: dict[str, set[str]]  # host -> what lies in the trial's folder there
    failures: tuple[str, ...]  # hosts whose load failed by itself; the others were ended for it
    deaths: dict[str, int | None]  # host -> how the service that its load needs ended
    read: dict[str, dict[str, bytes]] = {}  # noqa: RUF012 - never changed  # host -> small files that came along
    knobs: dict[str, Reply] = {}  # noqa: RUF012 - never changed  # tuned host -> what had drifted at the end


def run_together(
    attempt: Attempt, launches: Sequence[Launch], timing: Timing, *, services: Mapping[str, str] | None = None
) -> Loads:
    """Run the loads, one for each host, and sample every host of the run over the same window.

    `services` names the instance on a host whose CPU its samples show. A load that fails ends the others.
    Raises StepError when a host is late again and again, and what the agents raise.
    """
    late: tuple[str, ...] = ()
    for number in range(1, ROUNDS + 1):
        round_ = _Round(attempt, launches, timing, services or {}, number)
        with attempt.bench.cancel.interrupting(round_.cancel):
            loads = round_.run()
        if loads is not None:
            return loads
        late = round_.late
        text = f"trial {attempt.planned.ordinal}: {', '.join(late)} learned of the start too late: repeated"
        attempt.bench.listener(Message(level="detail", text=text))
    raise StepError(
        f"{', '.join(late)}: late at the start in each of {ROUNDS} tries",
        remedy="see what keeps this host or the way to it busy; a quieter one starts in time",
    )


class _Parts(NamedTuple):
    """What a host told at the end of its load."""

    load: Reply
    samples: Reply
    read: dict[str, bytes]
    knobs: Reply | None  # None: the host is not tuned


class _Round:
    """One try."""

    def __init__(
        self,
        attempt: Attempt,
        launches: Sequence[Launch],
        timing: Timing,
        services: Mapping[str, str],
        number: int,
    ) -> None:
        self._attempt = attempt
        self._fleet = attempt.bench.fleet
        self._launches = {launch.host: launch for launch in launches}
        self._timing = timing
        self._services = services
        self._task = f"{attempt.task}-{number}"
        self._patience = float(PATIENCE ** (number - 1))
        self._barrier = timing.together and len(launches) > 1
        self.late: tuple[str, ...] = ()

    def run(self) -> Loads | None:
        """Return what became of it; None when a host was late."""
        try:
            self._attempt.knobs.settle(self._attempt.limit())
            at = self._launch()
            clocks = self._fleet.clocks()
            if self._barrier:
                at = self._attempt.bench.timer() + self._lead()
            at_day = self._attempt.bench.clock() + at - self._attempt.bench.timer()
            replies = self._await(*self._release(at, clocks))
        except BaseException:
            self._abandon()
            raise
        if self.late:
            self._tell("await", self.late, task=self._task)  # one that was never let loose is still to end
            self._unwatch()
            return None
        others = [host for host in self._fleet if host not in self._launches]
        knobs = {host: parts.knobs for host, parts in replies.items()}
        samples = {host: parts.samples for host, parts in replies.items()}
        for host, reply in self._each("series", lambda host: {"ops": self._end(host)}, others).items():
            samples[host], *looked = reply["replies"]
            knobs[host] = looked[0] if looked else None
        loads = self._loads(
            at, at_day, clocks, {host: parts.load for host, parts in replies.items()}, samples
        )
        return loads._replace(
            read={host: parts.read for host, parts in replies.items()},
            knobs={host: found for host, found in knobs.items() if found is not None},
        )

    def cancel(self) -> None:
        """End the loads that have not ended."""
        self._tell("cancel", self._launches, task=self._task)

    def _launch(self) -> float:
        """Start the loads, held where others are waited for; return when they were started.

        Each with its samples, which begin when it does: then one word starts both.
        """

        def arguments(host: str) -> Reply:
            launch = self._launches[host]
            load = {
                "op": "launch",
                "task": self._task,
                "argv": list(launch.argv),
                "cwd": self._attempt.folder(host),
                "limit": self._timing.limit,
                "env": launch.env,
                "hold": self._barrier,
                "service": launch.service,
                "shell": launch.shell,
            }
            return {"ops": [load, {"op": "watch", "task": self._task, **self._watch(host)}]}

        self._each("series", arguments, self._launches)
        return self._attempt.bench.timer()

    def _lead(self) -> float:
        """Seconds from now to T0."""
        return self._patience * lead(self._fleet.round_trip, len(self._fleet))

    def _release(
        self, at: float, clocks: Mapping[str, Clock]
    ) -> tuple[dict[str, Pending], dict[str, Pending]]:
        """Say when to start; return what to await of the loads, and what the hosts without one answer.

        One request for each host: whatever else is said before T0 makes the starts uneven.
        """
        loads, others = {}, {}
        for host in self._launches:
            go = {"op": "go", "task": self._task, "at": at + clocks[host].offset, "strict": True}
            end: list[Reply] = [
                {"op": "await", "task": self._task},
                *self._end(host),
                {"op": "read", "dir": self._attempt.folder(host)},
            ]
            loads[host] = self._fleet[host].submit("series", ops=[go, *end] if self._barrier else end)
        for host in self._fleet:
            if host not in self._launches:
                start = at + clocks[host].offset
                others[host] = self._fleet[host].submit("watch", start=start, **self._watch(host))
        return loads, others

    def _end(self, host: str) -> list[Reply]:
        """What ends the window on a host, at once followed by a look at its knobs where it is tuned."""
        return [{"op": "unwatch", "watch": self._task}, *self._attempt.knobs.after(host)]

    def _watch(self, host: str) -> Reply:
        timing = self._timing
        return {
            "watch": self._task,
            "cwd": self._attempt.folder(host),
            "warmup": timing.warmup,
            "duration": timing.limit if timing.open_end else timing.duration,
            "hz": self._attempt.bench.plan.experiment.telemetry.hz,
            "service": self._services.get(host),
        }

    def _await(self, loads: dict[str, Pending], others: dict[str, Pending]) -> dict[str, _Parts]:
        """Wait for all; the first one that fails, is late or is lost ends the others."""
        wake = threading.Event()
        waiting = {**loads, **others}
        for pending in waiting.values():
            pending.watch(wake)
        ends = self._attempt.bench.timer() + self._timing.limit + SILENCE
        replies: dict[str, _Parts] = {}
        while waiting:
            wake.clear()
            for host in [host for host, pending in waiting.items() if pending.done]:
                try:
                    reply = waiting.pop(host).result(0.0)
                except LateError:
                    self.late += (host,)
                    self.cancel()
                    continue
                if host in loads:
                    ended, watched, *looked, read = reply["replies"][self._barrier :]
                    replies[host] = _Parts(ended, watched, contents(read), looked[0] if looked else None)
                    if _went_wrong(ended) and not self.late:
                        self.cancel()
            if waiting and not wake.wait(max(0.0, ends - self._attempt.bench.timer())):
                silent = ", ".join(sorted(waiting))
                raise AgentError(f"{silent}: the load's end was not reported in time")
        if self._barrier and not self.late:
            self.late = tuple(host for host, parts in replies.items() if parts.load["late"])
        return replies

    def _loads(
        self,
        at: float,
        at_day: float,
        clocks: Mapping[str, Clock],
        replies: dict[str, Reply],
        samples: dict[str, Reply],
    ) -> Loads:
        if len(replies) == 1:  # the only load is its own T0
            ((host, reply),) = replies.items()
            moved = reply["began"] - clocks[host].offset - at
            at, at_day = at + moved, at_day + moved
        ran = tuple(self._ran(host, at, clocks[host], replies[host]) for host in self._launches)
        start = _start(at_day, ran, self._timing)
        return Loads(
            ran,
            start,
            self._window(start, ran),
            {host: self._files(host, replies.get(host), samples[host]) for host in self._fleet},
            tuple(host for host, reply in replies.items() if _went_wrong(reply) and not reply["cancelled"]),
            {host: reply["service_exit"] for host, reply in replies.items() if reply["service_died"]},
        )

    def _ran(self, host: str, at: float, clock: Clock, reply: Reply) -> Ran:
        began = reply["began"] - clock.offset - at
        opens = reply["start"] - began + self._timing.warmup
        closes = reply["end"] if self._timing.open_end else opens + self._timing.duration
        return Ran(
            host,
            _task_result(self._launches[host].argv, reply),
            Window(start=opens, end=max(opens, closes)),
            began,
            clock.uncertainty,
            bool(reply["late"]),
        )

    def _window(self, start: Start, ran: tuple[Ran, ...]) -> Window:
        """The trial's window: on the only host in its own clock, else in the controller's."""
        if len(self._fleet) == 1:
            return ran[0].window
        opens = start.at + self._timing.warmup
        return Window(start=opens, end=opens + max(one.window.seconds for one in ran))

    def _files(self, host: str, reply: Reply | None, samples: Reply) -> set[str]:
        if reply is not None and reply.get("files_left_off"):
            listed = self._attempt.call(host, "files", dir=self._attempt.folder(host))["files"]
        else:
            listed = [*(reply or {}).get("files", ()), *samples["files"]]
        return {entry["path"] for entry in listed}

    def _each(self, op: str, arguments: Any, hosts: Iterable[str]) -> dict[str, Reply]:  # noqa: ANN401 - a function of the host's name
        self._attempt.bench.cancel.check()
        return self._fleet.each(op, arguments, hosts=list(hosts), timeout=self._attempt.limit())

    def _tell(self, op: str, hosts: Iterable[str], **args: str) -> None:
        """Submit to all; what cannot be told any more does not matter."""
        told = []
        for host in hosts:
            with suppress(BenchctlError):
                told.append(self._fleet[host].submit(op, **args))
        for pending in told:
            with suppress(BenchctlError):
                pending.result(GRACE)

    def _abandon(self) -> None:
        """Leave no load and no sampler behind."""
        self.cancel()
        self._unwatch()

    def _unwatch(self) -> None:
        self._tell("unwatch", self._fleet, watch=self._task)


def lead(trip: float, hosts: int) -> float:
    """Seconds from now to T0, for the largest recent round trip to any host, and what each has to be told."""
    return min(2 * trip + 0.001, trip + 0.003) + TELLING * hosts


def _start(at: float, ran: tuple[Ran, ...], timing: Timing) -> Start:
    begun = [one.began for one in ran]
    ended = [one.began + one.task.end - one.task.start for one in ran]
    closes = max(ended) if timing.open_end else timing.warmup + timing.duration
    length = closes - timing.warmup
    steady = min(closes, *ended) - max(begun) - timing.warmup
    doubts = sorted((one.uncertainty for one in ran), reverse=True)
    return Start(
        at=at,
        spread=max(begun) - min(begun),
        uncertainty=sum(doubts[:2]) if len(ran) > 1 else 0.0,
        overlap=min(1.0, max(0.0, steady / length)) if length > 0 else 1.0,
    )


def _went_wrong(reply: Reply) -> bool:
    return bool(reply["exit"] != 0 or reply["timed_out"] or reply["service_died"])


def _task_result(argv: tuple[str, ...], reply: Reply) -> TaskResult:
    return TaskResult(
        argv=argv,
        exit=reply["exit"],
        start=reply["start"],
        end=reply["end"],
        cpu_user=reply["cpu_user"],
        cpu_system=reply["cpu_system"],
        max_rss=reply["max_rss"],
        timed_out=reply["timed_out"],
    )
