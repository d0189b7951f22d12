"""Tuning as operations: on this host's own files, with its journal, for a run.

Owns whose tuning is given back when. Must not know what the knobs are.
"""

import os
import sys
from typing import Dict, List, Optional

from benchctl.agent import guard, layout, lease, tuning
from benchctl.agent import restore as undo
from benchctl.agent.context import Context
from benchctl.agent.holder import Holder
from benchctl.agent.machine import Machine
from benchctl.agent.refusal import RefusalError
from benchctl.agent.tuning_journal import Batch, Journal
from benchctl.agent.wire import Json


def snapshot(_: Context, knobs: Optional[List[str]] = None) -> Json:
    """Read all knobs, or some."""
    return tuning.snapshot(here(), knobs or ())


def preview(_: Context, values: Dict[str, str]) -> Json:
    """Compare what the knobs are with what they would be set to."""
    return tuning.preview(here(), values)


def tune(
    context: Context, values: Dict[str, str], *, profile: str = "", kept: bool = False, shared: bool = False
) -> Json:
    """Set knobs; they are given back with the end of the run, or when it is gone, unless `kept`."""
    head = {"run": context.run, "profile": profile, "kept": kept, "program": os.path.abspath(sys.argv[0])}  # noqa: PTH100 - text
    journal = _journal()
    if not kept and context.supervised and values:
        _guarded(context.run, journal)
    reply = tuning.tune(here(), journal, values, head, shared=shared)
    return {**reply, "undo": undo_command()}


def drift(_: Context) -> Json:
    """Compare the knobs that were set with what is there now."""
    return tuning.drift(here(), _journal())


def restore(context: Context, *, every: bool = False, force: bool = False) -> Json:
    """Give back what this run tuned, or all that anybody did."""
    reply = undo.restore(here(), _journal(), lambda batch: every or batch.run == context.run, force=force)
    if not _journal().path.exists():
        guard.dismiss()
    return reply


def give_back(context: Context) -> Optional[Json]:
    """Give back at the end of a run what it tuned for its own time; None when that is nothing."""
    journal = _journal()
    if not journal.path.exists():
        return None
    reply = undo.restore(here(), journal, lambda batch: _is_for_a_time(batch) and batch.run == context.run)
    guard.dismiss()
    return reply


def take_over(context: Context) -> None:
    """Give back what runs left that are gone; the lease says that no other run is at work here."""
    journal = _journal()
    if journal.path.exists():
        undo.restore(here(), journal, lambda batch: _is_for_a_time(batch) and batch.run != context.run)


def by_hand(*, force: bool) -> Json:
    """Give everything back, for a person on the host; while a run is at work only with `force`."""
    record = lease.holder(layout.lease_folder())
    if record is not None and not force:
        raise RefusalError(f"{lease.refusal(record)}; --force restores under it", "lease")
    reply = undo.restore(here(), _journal(), force=force)
    guard.dismiss()
    return reply


def undo_command() -> str:
    """Return what gives this host back by hand, as root."""
    return f"python3 {os.path.abspath(sys.argv[0])} restore"  # noqa: PTH100 - text


def _is_for_a_time(batch: Batch) -> bool:
    return not batch.head.get("kept")


def _guarded(run: str, journal: Journal) -> None:
    """Post the guard before anything is changed: without one nothing is."""
    try:
        journal.folder.mkdir(parents=True, exist_ok=True)
        guard.post(run)
    except OSError as error:
        raise RefusalError(
            f"{journal.folder}: {error.strerror or error}; nothing was changed", "unfit"
        ) from error


def here() -> Machine:
    """Return this host, or the tree that stands for it."""
    return Machine(layout.machine_root(), Holder(layout.state_folder()))


def _journal() -> Journal:
    return Journal(layout.state_folder())
