"""`benchctl logs`: the journal as readable lines, and what servers, load generators and Ansible printed."""

from __future__ import annotations

import json
import os
import select
import shlex
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import click

from benchctl.cli import options
from benchctl.cli.command import Command
from benchctl.errors import RunStateError, UsageError
from benchctl.results.workspace import find_run
from benchctl.results.workspace import workspace as default_workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchctl.journal import Entry
    from benchctl.results.logs import Cursor, Log
    from benchctl.results.store import RunStore

POLL_INTERVAL = 0.25  # seconds between two looks at the files of a run that goes on
LONGEST = 1 << 16  # bytes of a line without an end that are kept back


class Show(Protocol):
    """Yields the lines that are new; at the last look also one that has no end."""

    def __call__(self, *, last: bool) -> Iterator[str]: ...


@click.command(
    cls=Command,
    examples=(
        "benchctl logs latest",
        "benchctl logs latest --follow",
        "benchctl logs latest --trial 3",
        "benchctl logs latest --host db1 --task postgresql --follow",
        "benchctl logs 20261121-1015-quickstart-3f2a --host localhost",
    ),
)
@options.run
@options.workspace
@click.option("--host", metavar="HOST", help="The logs of the services on this host; with --trial, its load.")
@click.option("--task", metavar="TASK", help="With --host: only this task, stage or server.")
@click.option(
    "--trial", type=click.IntRange(min=1), metavar="N", help="What the load generators printed in trial N."
)
@click.option("--ansible", is_flag=True, help="What Ansible printed.")
@click.option("--follow", is_flag=True, help="Go on until the run ends; Ctrl-C ends only this view.")
@options.as_json
def logs(
    run: str,
    workspace: Path | None,
    host: str | None,
    task: str | None,
    trial: int | None,
    *,
    ansible: bool,
    follow: bool,
    as_json: bool,
) -> None:
    """Show what happened in a run, line by line.

    Without an option: the journal, with each act, its facts and why it failed. Times are UTC. While a run
    goes on, --follow reads the logs on other hosts over SSH.
    """
    if ansible and (host is not None or trial is not None):
        raise UsageError("--ansible names other logs than --host and --trial", remedy="give one of them")
    if task is not None and (host is None or trial is not None):
        raise UsageError("--task needs --host, and no --trial", remedy="name the host on which the task ran")
    if follow and as_json:
        raise UsageError("--json prints one document, --follow has no end", remedy="give one of them")
    store = find_run(run, default_workspace(workspace))
    if host is None and trial is None and not ansible:
        show: Show = _JournalLines(store).new
        if as_json:
            _print_entries(store)
            return
    else:
        find = _finder(store, host, task, trial)
        if as_json:
            _print_files(store, find())
            return
        if follow and host is not None and (live := _live_lines(store, host, task, trial)) is not None:
            with live:
                _print(store, live.new, follow=True)
            return
        missing = "Ansible was not started in this run" if ansible else f"No such log in {store.path}"
        show = _FileLines(store, find, missing).new
    _print(store, show, follow=follow)
    _say_how_it_goes_on(store)


def _print(store: RunStore, show: Show, *, follow: bool) -> None:
    from benchctl.journal import is_open

    try:
        going_on = follow
        while going_on:
            going_on = is_open(store.path / "journal.jsonl")  # asked first: what comes until then is shown
            if going_on:
                for line in show(last=False):
                    click.echo(line)
                time.sleep(POLL_INTERVAL)
        for line in show(last=True):
            click.echo(line)
    except KeyboardInterrupt:
        click.echo("\nOnly this view ends; the run is not touched.", err=True)
        raise click.Abort from None


def _say_how_it_goes_on(store: RunStore) -> None:
    """One line on stderr when the journal's last entry is not the end of the story."""
    from benchctl.pipeline.state import read_state

    try:
        state = read_state(store).state
    except RunStateError:
        return  # a run directory that lost other files still has a journal to show
    if state == "running":
        click.echo("The run goes on; --follow shows how.", err=True)
    elif state == "interrupted":
        hint = f"`benchctl resume {store.id}` goes on, `benchctl destroy {store.id}` undoes"
        click.echo(f"The run was interrupted: {hint}.", err=True)


def _finder(
    store: RunStore, host: str | None, task: str | None, trial: int | None
) -> Callable[[], list[Log]]:
    """The look-up of the chosen logs; while a run goes on, each call may find more."""
    from benchctl.journal import read
    from benchctl.results.logs import ansible_logs, host_logs, of_task, trial_logs

    def find() -> list[Log]:
        entries = read(store.path / "journal.jsonl")
        if trial is not None:
            return trial_logs(store, trial, entries, host)
        if host is None:
            return ansible_logs(store)
        found = host_logs(store, host, entries)
        return found if task is None else of_task(found, task)

    return find


def _live_lines(store: RunStore, host: str, task: str | None, trial: int | None) -> _RemoteLines | None:
    """The logs of a run that goes on, on a host that is not this machine; else None."""
    from benchctl.journal import is_open, read
    from benchctl.provision.openssh import ssh_command
    from benchctl.results.logs import Log, of_task, on_host, require_host

    require_host(store, host)
    journal = store.path / "journal.jsonl"
    if not is_open(journal) or not (store.path / "inventory.json").exists():
        return None
    reached, paths = on_host(store, host, trial, read(journal))
    if task is not None:
        logs = [Log(f"{host}/{'/'.join(path.split('/')[-2:])}", Path(path)) for path in paths]
        paths = [str(log.path) for log in of_task(logs, task)]
    if reached.transport == "pipe" or not paths:
        return None
    command = " ".join(["exec", "tail", "-v", "-n", "+1", "-F", "--", *map(shlex.quote, paths)])
    return _RemoteLines(ssh_command(reached, f"{command} 2>/dev/null"))


class _RemoteLines:
    """What `tail` prints on a host, as far as it is there; the name of a file stands before its lines."""

    def __init__(self, argv: list[str]) -> None:
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()

    def new(self, *, last: bool) -> Iterator[str]:
        if self._process.stdout is None:
            return
        while select.select([self._process.stdout], [], [], 0)[0]:
            data = os.read(self._process.stdout.fileno(), 1 << 16)
            if not data:
                break
            *lines, self._buffer = (self._buffer + data).split(b"\n")
            yield from (_harmless(line.decode(errors="backslashreplace")) for line in lines)
            if len(self._buffer) > LONGEST:
                yield _harmless(self._buffer.decode(errors="backslashreplace"))
                self._buffer = b""
        if last and self._buffer:
            yield _harmless(self._buffer.decode(errors="backslashreplace"))


class _FileLines:
    """New lines of several files, each block of lines under its file's name."""

    def __init__(self, store: RunStore, find: Callable[[], list[Log]], missing: str) -> None:
        self._journal = store.path / "journal.jsonl"
        self._find = find
        self._missing = missing
        self._cursors: dict[str, Cursor] = {}
        self._last = ""
        self._told = False

    def new(self, *, last: bool) -> Iterator[str]:
        from benchctl.journal import is_open
        from benchctl.report.text import clean
        from benchctl.results.logs import Cursor

        found = self._find()
        if not found and not self._told:
            self._told = True
            click.echo(f"{self._missing}{' so far' if is_open(self._journal) else ''}.", err=True)
        for log in found:
            cursor = self._cursors.setdefault(log.name, Cursor())
            for line in cursor.lines(log.path, whole=not last):
                if log.name != self._last:
                    yield f"==> {clean(log.name)} <=="
                    self._last = log.name
                yield _harmless(line)


class _JournalLines:
    """New entries of the journal, a line each and more for the reason of a failure."""

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self._path = store.path / "journal.jsonl"
        self._seen = 0
        self._began: dict[int, float] = {}
        self._told = False

    def new(self, *, last: bool) -> Iterator[str]:
        from benchctl.journal import read

        entries = read(self._path)
        for entry in entries[self._seen :]:
            self._seen += 1
            self._began[entry.seq] = entry.time
            yield from self._lines(entry)
        if not last and not self._told:
            self._tell_of_ansible(entries)

    def _tell_of_ansible(self, entries: Sequence[Entry]) -> None:
        """Say once where to look while Ansible works: the journal is silent then, for minutes."""
        from benchctl.results.logs import ansible_logs

        steps = [entry for entry in entries if entry.act == "step.configure"]
        if steps and steps[-1].phase == "meant" and ansible_logs(self._store):
            self._told = True
            click.echo(f"Ansible is at work: `benchctl logs {self._store.id} --ansible --follow`", err=True)

    def _lines(self, entry: Entry) -> Iterator[str]:
        from benchctl.model.units import format_duration
        from benchctl.report.text import clean, redact

        facts = dict(entry.data)
        reason = str(facts.pop("reason", ""))
        words = [f"{name}={_fact(value)}" for name, value in facts.items()]
        began = self._began.get(entry.of or 0)
        if began is not None:
            words.insert(0, f"after {format_duration(max(0.0, entry.time - began))}")
        head = f"{_time(entry.time)}  {clean(entry.act):<16} {entry.phase:<6}"
        yield redact(f"{head}  {clean(' '.join(words))}".rstrip())
        for line in reason.splitlines():
            yield f"    {_harmless(line)}"


def _fact(value: Any) -> str:  # noqa: ANN401 - any JSON value
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) >= 1 else f"{value:.3g}"
    return value if isinstance(value, str) and " " not in value else json.dumps(value, ensure_ascii=False)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _harmless(line: str) -> str:
    """A line without anything that a terminal would obey, or a reader must not see."""
    from benchctl.report.text import clean, redact

    return redact(clean(line, lines=True))


def _print_entries(store: RunStore) -> None:
    from msgspec import to_builtins

    from benchctl.journal import read

    entries = [to_builtins(entry) for entry in read(store.path / "journal.jsonl")]
    click.echo(json.dumps({"schema": 1, "run": store.id, "entries": entries}, indent=2))


def _print_files(store: RunStore, found: list[Log]) -> None:
    files = [
        {"name": log.name, "path": str(log.path), "text": log.path.read_text("utf-8", "backslashreplace")}
        for log in found
    ]
    click.echo(json.dumps({"schema": 1, "run": store.id, "files": files}, indent=2))
