"""Tuning as operations: on this host's own files, with its journal, for a run.

Owns whose tuning is given back when. Must not know what the knobs are. What tuning needs is loaded when it is
asked for: most runs start an agent while somebody waits, and tune nothing.
"""

import os
import sys
import time
from typing import TYPE_CHECKING, Callable, Dict, List, Optional, Sequence

from benchctl.agent import layout
from benchctl.agent.context import Context
from benchctl.agent.refusal import RefusalError
from benchctl.agent.wire import Json

if TYPE_CHECKING:
    from benchctl.agent.machine import Machine
    from benchctl.agent.restore import Chosen
    from benchctl.agent.tuning_journal import Batch, Journal


def snapshot(_: Context, knobs: Optional[List[str]] = None) -> Json:
    """Read all knobs, or some."""
    from benchctl.agent import tuning

    return tuning.snapshot(here(), knobs or ())


def preview(_: Context, values: Dict[str, str], roles: Optional[List[str]] = None) -> Json:
    """Compare what the knobs are with what they would be set to where these roles run."""
    from benchctl.agent import tuning

    return tuning.preview(here(roles or ()), values)


def plan(_: Context, roles: Optional[List[str]] = None) -> Json:
    """Say who gets which CPUs of this host, when these roles run here."""
    from benchctl.agent import cpu_plan

    return cpu_plan.picture(here(roles or ()))


def tune(
    context: Context,
    values: Dict[str, str],
    *,
    profile: str = "",
    kept: bool = False,
    shared: bool = False,
    roles: Optional[List[str]] = None,
    password: str = "",
) -> Json:
    """Set knobs; they are given back with the end of the run, or when it is gone, unless `kept`.

    `roles` is what will run here (dbms, loader): the CPU plan is made for them. `password` is sudo's, for a
    user who is not root; it stays in memory until the run ends.
    """
    from benchctl.agent import privileged, tuning

    context.password = password or context.password
    if privileged.needed():
        args = {"values": values, "profile": profile, "kept": kept, "shared": shared, "roles": roles}
        return privileged.ask(context, "tune", args)
    machine, journal = here(roles or ()), journal_here()
    head = {"run": context.run, "profile": profile, "kept": kept, "roles": roles or [], "program": program()}
    if not kept and context.supervised and values:
        _guarded(context.run, journal)
    reply = tuning.tune(machine, journal, values, head, shared=shared)
    return {**reply, "undo": undo_command()}


def drift(context: Context, *, mend: bool = False) -> Json:
    """Compare the knobs that were set with what is there now.

    With `mend` what differs is set again, and `unmended` places still differ; `around` tells what began since
    the last such look.
    """
    from benchctl.agent import around, privileged, tuning

    reply = tuning.drift(here(), journal_here())
    if not mend:
        return reply
    since, context.looked = context.looked, time.time()
    if reply["drifts"]:  # for a user who is not root, also what only root may read
        reply = privileged.ask(context, "look", {}) if privileged.needed() else look(context)
    if reply["drifts"]:
        reply["around"] = around.since(since, {os.getpid()})
    return reply


def look(_: Context) -> Json:
    """Compare the knobs that were set with what is there now, and set again what differs."""
    from benchctl.agent import tuning

    reply = tuning.drift(here(), journal_here())
    if reply["drifts"]:
        reply["unmended"] = tuning.mend(here(), journal_here())
    return reply


def restore(context: Context, *, every: bool = False, force: bool = False, password: str = "") -> Json:
    """Give back what this run tuned, or all that anybody did."""
    from benchctl.agent import privileged

    context.password = password or context.password
    if privileged.needed() and layout.tuning_journal().exists():
        return privileged.ask(context, "restore", {"every": every, "force": force})
    return _undo(lambda batch: every or batch.run == context.run, force=force)


def reboot(context: Context, *, password: str = "") -> Json:
    """Boot this host again: what waits for that comes into force, all else that was set is forgotten."""
    from benchctl.agent import guard, privileged

    context.password = password or context.password
    context.rebooting = True
    try:
        if privileged.needed():
            return privileged.ask(context, "reboot", {})
        guard.dismiss()
        here().systemctl(["reboot"])
    except OSError as error:
        context.rebooting = False
        raise RefusalError(f"this host does not boot again: {error.strerror}", "unfit") from error
    except RefusalError:
        context.rebooting = False
        raise
    return {}


def give_back(context: Context) -> Optional[Json]:
    """Give back at the end of a run what it tuned for its own time; None when that is nothing."""
    from benchctl.agent import privileged

    def chosen(batch: "Batch") -> bool:
        return _is_for_a_time(batch) and batch.run == context.run

    if not _is_left(chosen):
        return None
    return privileged.ask(context, "give_back", {}) if privileged.needed() else _undo(chosen)


def take_over(context: Context) -> None:
    """Give back what runs left that are gone; the lease says that no other run is at work here."""
    from benchctl.agent import privileged

    def chosen(batch: "Batch") -> bool:
        return _is_for_a_time(batch) and batch.run != context.run

    if not _is_left(chosen):
        return
    if privileged.needed():
        privileged.ask(context, "take_over", {})
    else:
        _undo(chosen)


def by_hand(*, area: str = "", force: bool, preview: bool = False) -> Json:
    """Give all back, or an area, for a person on the host; while a run is at work only with `force`."""
    if not force:
        _refuse_under_a_run("; --force restores under it")
    return _undo(lambda _: True, area=area, force=force, preview=preview)


def tune_by_hand(values: Dict[str, str], head: Json, *, area: str = "", shared: bool = False) -> Json:
    """Set knobs until they are restored, for a person on the host; never while a run is at work."""
    from benchctl.agent import tuning

    _refuse_under_a_run()
    whose = {**head, "program": program()}
    reply = tuning.tune(here(head["roles"]), journal_here(), values, whose, area=area, shared=shared)
    return {**reply, "undo": undo_command()}


def undo_command() -> str:
    """Return what gives this host back by hand, as root."""
    sudo = "sudo " if os.geteuid() or "SUDO_USER" in os.environ else ""
    return f"{sudo}python3 {program()} restore"


def program() -> str:
    """Return the path of the agent's program."""
    return os.path.abspath(sys.argv[0])  # noqa: PTH100 - text


def here(roles: Sequence[str] = ()) -> "Machine":
    """Return this host, or the tree that stands for it; `roles` is what will run here."""
    from benchctl.agent.holder import Holder
    from benchctl.agent.machine import Machine

    return Machine(layout.machine_root(), Holder(layout.state_folder()), roles)


def journal_here() -> "Journal":
    """Return this host's journal."""
    from benchctl.agent.tuning_journal import Journal

    return Journal(layout.state_folder())


def _refuse_under_a_run(remedy: str = "") -> None:
    from benchctl.agent import lease

    record = lease.holder(layout.lease_folder())
    if record is not None:
        raise RefusalError(f"{lease.refusal(record)}{remedy}", "lease")


def _undo(chosen: "Chosen", *, area: str = "", force: bool = False, preview: bool = False) -> Json:
    """Restore, and dismiss the guard when nothing is left that it could give back."""
    from benchctl.agent import guard
    from benchctl.agent import restore as undo

    journal = journal_here()
    reply = undo.restore(here(), journal, chosen, area=area, force=force, preview=preview)
    if not preview and not any(_is_for_a_time(batch) for batch in journal.read()[0]):
        guard.dismiss()
    return reply


def _is_left(chosen: "Chosen") -> bool:
    """Say whether there may be something to give back: what cannot be read may be it."""
    if not layout.tuning_journal().exists():
        return False
    batches, unreadable = journal_here().read()
    return bool(unreadable) or any(map(chosen, batches))


def _is_for_a_time(batch: "Batch") -> bool:
    return not batch.head.get("kept")


def _guarded(run: str, journal: "Journal") -> None:
    """Post the guard before anything is changed: without one nothing is."""
    from benchctl.agent import guard

    try:
        guard.post(run)
    except OSError as error:
        raise RefusalError(
            f"{journal.folder}: {error.strerror or error}; nothing was changed", "unfit"
        ) from error


ACTS: Dict[str, Callable[..., Optional[Json]]] = {  # what root does for a user who is not
    "tune": tune,
    "look": look,
    "restore": restore,
    "reboot": reboot,
    "give_back": give_back,
    "take_over": take_over,
}
