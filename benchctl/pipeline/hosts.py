"""Hosts that are made for a run: made, given more time, taken away; the journal has it before it happens.

Owns what the journal says of them. Must not know how they are made.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchctl.errors import BenchctlError, StackError
from benchctl.model.event import Message
from benchctl.model.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchctl.journal import Entry
    from benchctl.model.host import Inventory
    from benchctl.pipeline.session import Session

MAKE, EXTEND, REMOVE = "hosts.make", "hosts.extend", "hosts.remove"
KEPT = 8 * 3600.0  # seconds that `--keep` gives hosts from then on
_SLACK = 600.0  # seconds; hosts that go this early after the last trial are given more time


def make_hosts(session: Session) -> Inventory:
    """Return the hosts of the run, made where they are missing."""
    maker = session.maker
    experiment = session.plan.experiment
    if maker is None:
        return session.provisioner.provision(experiment)
    maker.check()
    with session.journal.act(MAKE, provider=maker.provider, state=maker.state) as act:
        try:
            inventory = maker.provision(experiment)
        except BenchctlError:
            session.cancel.check()  # an engine that a signal stopped has not failed
            raise
        act.learned(hosts=[host.name for host in inventory.hosts], expires=maker.expires)
    return inventory


def hosts_made(entries: Iterable[Entry]) -> bool:
    """Tell whether hosts were meant to be made and have not been taken away since."""
    there = False
    for entry in entries:
        if (entry.act, entry.phase) == (MAKE, "meant"):
            there = True
        elif (entry.act, entry.phase) == (REMOVE, "done"):
            there = False
    return there


def expiry(entries: Iterable[Entry]) -> float | None:
    """Return when the hosts shut themselves down, in s since the epoch; None when none were made."""
    found = [e.data["expires"] for e in entries if e.act in {MAKE, EXTEND} and "expires" in e.data]
    return float(found[-1]) if found else None


def take_away(session: Session) -> str:
    """Remove the hosts that were made for the run, whatever runs on them."""
    maker = session.maker
    if maker is None:
        raise StackError("the hosts of this run were not made for it")
    session.close()
    with session.journal.act(REMOVE, provider=maker.provider, state=maker.state):
        maker.remove()
    return f"the hosts of provider {maker.provider} are gone"


def ensure_time(session: Session) -> None:
    """Give the hosts more time where trials could outlive them; not while trials run."""
    until = expiry(session.journal.entries())
    if session.maker is None or until is None:
        return
    needed = session.plan.experiment.limits.run
    if until - session.clock() < needed + _SLACK:
        extend(session, session.clock() + needed + 2 * _SLACK)


def keep_hosts(session: Session) -> None:
    """Give the hosts more time after the run, and say how long they stay."""
    if session.maker is None or not hosts_made(session.journal.entries()):
        return
    extend(session, session.clock() + KEPT)
    text = (
        f"the hosts stay for {format_duration(KEPT)}, then they shut themselves down; "
        f"`benchctl destroy {session.store.id}` takes them away before"
    )
    session.listener(Message(level="warning", text=text))


def extend(session: Session, expires: float) -> None:
    """Set the time at which the hosts shut themselves down, in s since the epoch."""
    if session.maker is not None:
        with session.journal.act(EXTEND, provider=session.maker.provider) as act:
            session.maker.up(expires)
            act.learned(expires=expires)


def outlived(session: Session, error: BaseException) -> BaseException:
    """Return the error, named for what it is when the hosts' time has passed."""
    until = expiry(session.journal.entries())
    if (
        session.maker is None
        or until is None
        or session.clock() < until
        or not isinstance(error, BenchctlError)
    ):
        return error
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(until))
    return StackError(
        f"the hosts shut themselves down at {when}, as they were made to: {error}",
        remedy="raise limits.run, which says how long a run may take",
    )
