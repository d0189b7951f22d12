"""From a verb to the pipeline: the real boundaries, signals, and the events on stderr."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Required, TypedDict, Unpack

import click

from benchctl.benchmark.cancel import Cancel
from benchctl.cli.confirm import confirm
from benchctl.cli.main import settings
from benchctl.cli.notices import notice_single_levels
from benchctl.cli.progress import make_listener
from benchctl.errors import InterruptedRunError, LeaseError
from benchctl.model.event import Message
from benchctl.model.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchctl.benchmark.protocol import Agent
    from benchctl.model.comparison import Summary
    from benchctl.model.event import Listener
    from benchctl.model.host import Host
    from benchctl.results.store import RunStore

WAIT_INTERVAL = 1.0  # seconds between two tries for a host that another run holds
MANY_TREATMENTS = 1000  # more than these are asked about before anything is done
LONG_RUN = 86_400.0  # seconds; so is a longer run
AHEAD = ("benchctl.pipeline.summary", "scipy.special", "benchctl.report.to_terminal", "plotly.offline")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def new_run(
    experiment: str, sets: tuple[str, ...], roles_paths: tuple[Path, ...], root: Path, *, yes: bool
) -> RunStore:
    """Read, plan, ask when it is a lot, and store; nothing is executed.

    Raises SpecError or UnfitError, and UsageError where a large run cannot be asked about.
    """
    from benchctl.pipeline.run import create_run
    from benchctl.plan import make
    from benchctl.spec import load

    spec = load(experiment, sets=sets, roles_paths=roles_paths)
    plan = make(spec)
    notice_single_levels(spec.experiment)
    if len(plan.treatments) > MANY_TREATMENTS or plan.expected_seconds > LONG_RUN:
        length = format_duration(plan.expected_seconds)
        size = f"{len(plan.treatments)} treatments, {len(plan.trials)} trials, about {length}"
        confirm(f"That is a large run: {size}. Start it?", yes=yes)
    return create_run(plan, spec.text, root, beside=spec.path.resolve().parent)


class How(TypedDict, total=False):
    """Which steps are executed, and how."""

    first: Required[str]
    last: Required[str]
    keep: bool
    force: bool
    wait: bool
    ask_become_password: bool
    unlock: bool


def execute_run(ctx: click.Context, store: RunStore, **how: Unpack[How]) -> Summary | None:
    """Execute steps of a run with the real hosts; the events go to stderr."""
    from benchctl.cli.hosts_select import become_password, kept_inventories
    from benchctl.configure import AnsibleRunner
    from benchctl.pipeline.execute import execute
    from benchctl.pipeline.session import Session
    from benchctl.provision import Making, provisioner_for

    plan = store.plan()
    password = become_password(None, ask=how.get("ask_become_password", False))
    done = sum(store.is_done(trial.ordinal) for trial in plan.trials)
    with _cancelling(store) as cancel, make_listener(plan, done=done, **_verbosity(ctx)) as listener:
        session = Session(
            store=store,
            plan=plan,
            journal=store.journal(),
            listener=listener,
            cancel=cancel,
            clock=time.time,
            timer=time.monotonic,
            provisioner=provisioner_for(
                plan.experiment,
                kept_inventories(),
                Making(
                    root=store.path.absolute().parent.parent,
                    folder=store.path.absolute(),
                    say=lambda text: listener(Message(level="detail", text=text)),
                    cancelled=lambda: cancel.requested,
                    unlock=how.get("unlock", False),
                ),
            ),
            runner=AnsibleRunner(
                roles_path=[Path(folder) for folder in plan.role_folders], cancelled=lambda: cancel.requested
            ),
            connect=partial(
                _connect,
                wait=how.get("wait", False),
                listener=listener,
                cancel=cancel,
                ahead=AHEAD if how["first"] != "destroy" else (),
            ),
            force=how.get("force", False),
            become_password=password,
        )
        try:
            return execute(session, first=how["first"], last=how["last"], keep=how.get("keep", False))
        except InterruptedRunError as error:
            remedy = f"`benchctl resume {store.id}` goes on with it"
            raise InterruptedRunError(error.signal_number, error.detail, remedy=remedy) from error
        finally:
            session.journal.close()


def _leave(code: int) -> NoReturn:
    """End this process without the way back, which an exception would still go."""
    if sys.stderr.isatty():
        sys.stderr.write("\x1b[?25h")  # the live line had hidden the cursor
    sys.stderr.flush()
    os._exit(code)


def _connect(
    hosts: Sequence[Host],
    run: str,
    owner: str,
    ttl: float,
    *,
    wait: bool,
    listener: Listener,
    cancel: Cancel,
    ahead: Sequence[str],
) -> Mapping[str, Agent]:
    """Reach the hosts' agents; with `wait`, again and again until the run that holds a host is done.

    Meanwhile the modules that come `ahead` are loaded, so that nobody waits for them later.
    """
    from benchctl.benchmark.connection import connect_all

    def notice(text: str) -> None:
        listener(Message(level="info", text=text))

    told = False
    with _loading(ahead):
        while True:
            try:
                return connect_all(hosts, run, owner=owner, ttl=ttl, on_notice=notice)
            except LeaseError as error:
                if not wait:
                    raise
                if not told:
                    listener(Message(level="info", text=f"waiting: {error.detail}"))
                    told = True
                cancel.check()
                time.sleep(WAIT_INTERVAL)


@contextmanager
def _loading(names: Sequence[str]) -> Iterator[None]:
    """Load modules beside the body; all are there at its end, for nothing is loaded beside a measurement."""

    def load() -> None:
        for name in names:
            with suppress(ImportError):  # who needs it says so better
                import_module(name)

    thread = threading.Thread(target=load, name="loading")
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _verbosity(ctx: click.Context) -> dict[str, Any]:
    return {"verbose": settings(ctx)["verbose"]}


@contextmanager
def _cancelling(store: RunStore) -> Iterator[Cancel]:
    """First signal: stop, undo, then exit; second: leave now and say what is left and how to undo it."""
    cancel = Cancel()

    def handle(number: int, _frame: object) -> None:
        if cancel.requested:
            undo = f"`benchctl destroy {store.path}` undoes it"
            click.echo(f"\nLeft now. What this run made may be there still: {undo}.", err=True)
            _leave(128 + number)
        click.echo("\nStopping: finished trials are kept, the rest is undone (again: leave now).", err=True)
        cancel.request(number)

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield cancel
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
