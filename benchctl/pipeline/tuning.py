"""Tuning as a part of a run: when it is done, what of it is kept, which hosts still wait to be given back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchctl.configure.converge import sudo_password
from benchctl.configure.tuning import changed, given_back, told, tune, wanted
from benchctl.errors import RunStateError
from benchctl.model.event import Message
from benchctl.pipeline.hosts import REMOVE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from benchctl.journal import Entry
    from benchctl.model.tuning import HostTuning
    from benchctl.pipeline.session import Session


def tune_hosts(session: Session) -> None:
    """Set what the plan wants on its hosts, once in an execution: their agents give it back at its end.

    Raises RunStateError where finished trials had other knobs in force than the next ones would have.
    """
    if session.tuned or not session.plan.tuning:
        return
    session.tuned = True
    chosen = wanted(session.plan, session.inventory())
    password = sudo_password(session.plan, session.become_password)
    found = tune(chosen, session.fleet(), session.journal, password=password)
    before = session.store.tunings() if session.store.trials() else {}
    for host, tuning in found.items():
        _require_same(host, before.get(host), tuning)
        session.store.save_tuning(host, tuning)
    for text in told(found):
        session.listener(Message(level="info", text=text))
    for host, tuning in found.items():
        if tuning.blocked:
            session.listener(Message(level="warning", text=f"{host}: no knob could be set: {tuning.blocked}"))
        for knob in tuning.missing:
            text = f"{host}: {knob.knob} {knob.outcome}: {knob.why}"
            session.listener(Message(level="warning" if knob.outcome == "failed" else "detail", text=text))


def tell_given_back(session: Session, host: str, reply: Mapping[str, Any]) -> None:
    """Tell what an agent gave back at its end, and what it did not."""
    for grave, text in given_back(host, reply):
        session.listener(Message(level="warning" if grave else "info", text=text))


def still_tuned(entries: Iterable[Entry]) -> dict[str, str]:
    """Return the hosts that were tuned, or may have been, and not given back since, with their profile."""
    tuned: dict[str, str] = {}
    ending: dict[int, str] = {}  # number of the entry that announced an end -> host
    for entry in entries:
        match entry.act, entry.phase:
            case "tune", "meant":
                tuned[entry.data["host"]] = entry.data["profile"]
            case "end", "meant":
                ending[entry.seq] = entry.data["host"]
            case "end", "done":
                tuned.pop(ending.get(entry.of or 0, ""), None)
            case act, "done" if act == REMOVE:
                tuned.clear()
            case _:
                pass
    return tuned


def _require_same(host: str, before: HostTuning | None, now: HostTuning) -> None:
    names = [] if before is None else changed(before, now)
    if names:
        raise RunStateError(
            f"{host} cannot be tuned as it was when this run began: {', '.join(names)}",
            remedy="start a new run: trials on hosts that are tuned in different ways do not belong in one"
            f" comparison; `benchctl hosts knobs` shows how {host} is now",
        )
