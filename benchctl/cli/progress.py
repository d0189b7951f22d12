"""The events of a run on stderr: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from benchctl.model.event import Message, StepEnded, StepStarted, TrialEnded, TrialFailed, TrialPhase
from benchctl.model.units import format_duration
from benchctl.report.text import number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.progress import TaskID

    from benchctl.model.event import Event, Listener
    from benchctl.model.plan import Plan

ALIKE = 2  # lines of a failure's reason that tell one from another: its kind, and what happened where
NAMED = 3  # hosts that a waiting host's line names


@contextmanager
def make_listener(plan: Plan, *, done: int, verbose: bool) -> Iterator[Listener]:
    """A listener fit for where stderr goes; `done` trials of the plan are there from earlier executions."""
    if sys.stderr.isatty():
        with _live(plan, done=done, verbose=verbose) as listener:
            yield listener
    else:
        yield Lines(plan, done=done, verbose=verbose).hear


class Lines:
    """One plain line per event that people care about."""

    def __init__(self, plan: Plan, *, done: int, verbose: bool) -> None:
        self._plan = plan
        self._verbose = verbose
        self.remaining = Remaining(plan, done)
        self._failed: list[str] = []  # what happened to the trial that failed last

    def hear(self, event: Event) -> None:
        self.remaining.hear(event)
        text = self.line(event)
        if text:
            self.write(text)

    def write(self, text: str) -> None:
        click.echo(text, err=True)

    def line(self, event: Event) -> str:
        """The line for an event; empty when it has none."""
        match event:
            case StepStarted():
                return f"{event.step} …"
            case StepEnded():
                return f"{event.step} done in {format_duration(event.seconds)}: {event.detail}"
            case TrialEnded():
                return self._trial(event)
            case TrialFailed():
                return f"  {self._which(event.ordinal)} failed: {self._unlike_the_last(event.reason)}"
            case Message() if event.level != "detail" or self._verbose:
                return f"  {event.text}" if event.level != "warning" else f"warning: {event.text}"
            case _:
                return ""

    def _trial(self, event: TrialEnded) -> str:
        trial = event.trial
        name = self._plan.experiment.metrics[0].name
        quantity = trial.result.metrics.get(name)
        value = "–" if quantity is None else number(quantity.value, quantity.unit)
        levels = ", ".join(f"{factor.rsplit('.', 1)[-1]}={label}" for factor, label in trial.levels.items())
        left = format_duration(self.remaining.seconds())
        head = f"  {self._which(trial.ordinal)}  {levels or trial.treatment:<24}"
        return f"{head}  {name} {value}  {trial.validity}  ({left} left)"

    def _unlike_the_last(self, reason: str) -> str:
        """The reason; of one that begins as the last one's did, only that: logs were shown once already."""
        happened, self._failed = self._failed, reason.splitlines()[:ALIKE]
        return (
            f"as before: {self._failed[-1].strip()}" if self._failed and self._failed == happened else reason
        )

    def _which(self, ordinal: int) -> str:
        """`trial  7/12`; beyond the plan `trial 13, made up`."""
        planned = len(self._plan.trials)
        if ordinal > planned:
            return f"trial {ordinal}, made up"
        return f"trial {ordinal:>{len(str(planned))}}/{planned}"


class Remaining:
    """Time left: the plan's estimate until trials have been seen, then their mean."""

    def __init__(self, plan: Plan, done: int) -> None:
        self._left = len(plan.trials) - done
        self._mean = plan.expected_seconds / max(1, len(plan.trials))
        self._seen: list[float] = []

    def hear(self, event: Event) -> None:
        match event:
            case TrialEnded():
                self._left -= 1
                self._seen.append(event.seconds)
            case TrialFailed():
                self._left -= 1
            case _:
                pass

    def seconds(self) -> float:
        mean = sum(self._seen) / len(self._seen) if self._seen else self._mean
        return max(0, self._left) * mean


@contextmanager
def _live(plan: Plan, *, done: int, verbose: bool) -> Iterator[Listener]:
    """The same lines above a bar with the trial in hand, and with several hosts a line for each of them."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    console = Console(stderr=True, highlight=False)
    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("trials"),
        TextColumn("{task.fields[left]} left", markup=False),
        console=console,
    )
    hosts = Progress(
        TextColumn("  {task.description}", markup=False),
        TextColumn("{task.fields[state]}", markup=False),
        console=console,
    )
    lines = _LiveLines(plan, done=done, verbose=verbose, console=console)
    standing = Standing()
    rows: dict[str, TaskID] = {}
    left = format_duration(lines.remaining.seconds())
    bar = progress.add_task("starting", total=len(plan.trials), completed=done, left=left)

    def hear(event: Event) -> None:
        lines.hear(event)
        standing.hear(event)
        if isinstance(event, TrialEnded | TrialFailed):
            progress.advance(bar)
            progress.update(bar, total=max(len(plan.trials), _ordinal(event)))  # a make-up block is more
        remaining = format_duration(lines.remaining.seconds())
        progress.update(bar, description=standing.now, left=remaining)
        if len(standing.hosts) > 1:
            for host, state in standing.hosts.items():
                if host not in rows:
                    rows[host] = hosts.add_task(host, state=state)
                hosts.update(rows[host], state=state)

    with Live(Group(progress, hosts), console=console, transient=True, refresh_per_second=10):
        yield hear


def _ordinal(event: TrialEnded | TrialFailed) -> int:
    return event.ordinal if isinstance(event, TrialFailed) else event.trial.ordinal


class Standing:
    """What the run does now, and each host of it: a phase, or what it waits for."""

    def __init__(self) -> None:
        self.now = "starting"
        self.hosts: dict[str, str] = {}

    def hear(self, event: Event) -> None:
        match event:
            case StepStarted():
                self.now = event.step
                self.hosts = dict.fromkeys(self.hosts, event.step)
            case TrialPhase():
                self._phase(event)
            case _:
                pass

    def _phase(self, event: TrialPhase) -> None:
        length = "" if event.expected is None else f" ({format_duration(event.expected)})"
        self.now = f"trial {event.ordinal}: {event.phase}{length}"
        busy = ", ".join(event.hosts[:NAMED]) + (", …" if len(event.hosts) > NAMED else "")
        waiting = f"waits for {busy}: {event.phase}" if busy else f"waits for this machine: {event.phase}"
        for host in dict.fromkeys([*self.hosts, *event.hosts]):
            self.hosts[host] = f"{event.phase}{length}" if host in event.hosts else waiting


class _LiveLines(Lines):
    def __init__(self, plan: Plan, *, done: int, verbose: bool, console: Console) -> None:
        super().__init__(plan, done=done, verbose=verbose)
        self._console = console

    def write(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def line(self, event: Event) -> str:
        return "" if isinstance(event, StepStarted) else super().line(event)
