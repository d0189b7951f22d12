"""Hosts that are made for a run: made, given more time, taken away; the journal has it before it happens.

Owns what the journal says of them. Must not know how they are made.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchctl.errors import BenchctlError, StackError, UnfitError
from benchctl.model.event import Message
from benchctl.model.units import format_duration
from benchctl.provision import to_ansible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchctl.journal import Entry
    from benchctl.model.host import Inventory
    from benchctl.model.plan import PlannedTrial
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


def attended(session: Session, trials: Iterable[PlannedTrial]) -> Iterator[PlannedTrial]:
    """Yield the trials; hosts that could go during the next one are given more time before it.

    When that fails a warning says when they go; the next try is made when half of that time is over.
    """
    until = expiry(session.journal.entries())
    if session.maker is None or until is None:
        yield from trials
        return
    limits = session.plan.experiment.limits
    too_little = limits.trial + _SLACK
    for trial in trials:
        left = until - session.clock()
        if 0 < left < too_little:  # who is gone already is not made again in mid-run
            try:
                until = extend(session, session.clock() + limits.run + 2 * _SLACK)
                too_little = limits.trial + _SLACK
            except (StackError, UnfitError) as error:
                too_little = left / 2
                text = f"the hosts shut themselves down at {_time_of(until)}, in {format_duration(left)}"
                why = f"they could not be given more time: {error}"
                session.listener(Message(level="warning", text=f"{text}; {why}"))
        yield trial


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


def extend(session: Session, expires: float) -> float:
    """Set the time at which the hosts shut themselves down, in s since the epoch; return it.

    Hosts that had gone are made again, which may give them other addresses.
    """
    if session.maker is not None:
        with session.journal.act(EXTEND, provider=session.maker.provider) as act:
            session.store.save_inventory(to_ansible(session.maker.up(expires)))
            act.learned(expires=expires)
    return expires


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
    return StackError(
        f"the hosts shut themselves down at {_time_of(until)}, as they were made to: {error}",
        remedy="raise limits.run, which says how long a run may take",
    )


def _time_of(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))
