"""What an earlier execution of the same run left behind, and whether the host is still the one it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchctl.errors import BenchctlError, RunStateError
from benchctl.model.event import Message
from benchctl.pipeline.hosts import REMOVE
from benchctl.pipeline.undo import undo

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchctl.journal import Entry
    from benchctl.pipeline.session import Session

IDENTITY = (
    "cpu.architecture",
    "cpu.count",
    "cpu.model",
    "dmi.product",
    "host.name",
    "kernel.build",
    "kernel.release",
    "memory.total",
)  # facts that make two trials' hosts one host; a reboot changes none of them


def recover(session: Session) -> None:
    """Stop what a crashed execution left running, so that this one starts from nothing."""
    names = left_open(session.journal.entries())
    if names:
        session.listener(
            Message(level="info", text="an earlier execution did not end: stopping what it left")
        )
        hosts = [host for host in session.inventory().hosts if host.name in names]
        try:
            undo(session, hosts, remove=False)
        except BenchctlError as error:
            if session.maker is None:
                raise
            session.listener(Message(level="warning", text=f"{error.detail}\nmaking anew what is gone"))


def left_open(entries: Iterable[Entry]) -> set[str]:
    """The hosts with a connection that was opened, or meant to be, and never ended."""
    opened: set[str] = set()
    hosts: dict[int | None, str] = {}  # number of the entry that announced it -> host
    again: set[int | None] = set()  # such numbers, of connections to hosts that were open already
    for entry in entries:
        if (entry.act, entry.phase) == (REMOVE, "done"):
            opened.clear()
        elif entry.phase == "meant" and entry.act in {"connect", "end"}:
            host = hosts[entry.seq] = str(entry.data["host"])
            if entry.act == "connect":
                again |= {entry.seq} if host in opened else set()
                opened.add(host)
        elif (entry.act, entry.phase) == ("end", "done") or (
            (entry.act, entry.phase) == ("connect", "failed") and entry.of not in again
        ):
            opened.discard(hosts[entry.of])
    return opened


def ever_reached(entries: Iterable[Entry]) -> set[str]:
    """The hosts that this run worked on, at whatever time, and those of which it is not known."""
    entries = list(entries)
    gone = max((e.seq for e in entries if (e.act, e.phase) == (REMOVE, "done")), default=0)
    entries = [entry for entry in entries if entry.seq > gone]
    meant = {e.seq: str(e.data["host"]) for e in entries if e.act == "connect" and e.phase == "meant"}
    failed = {e.of for e in entries if e.act == "connect" and e.phase == "failed"}
    return {host for seq, host in meant.items() if seq not in failed}


def check_identity(host: str, before: dict[str, Any] | None, now: dict[str, Any]) -> None:
    """Raise RunStateError when trials on this host would not belong with the earlier ones."""
    if before is None:
        return
    changed = [name for name in IDENTITY if before.get(name) != now.get(name)]
    if changed:
        found = "; ".join(f"{name} was {before.get(name)!r}, is {now.get(name)!r}" for name in changed)
        raise RunStateError(
            f"{host} is not the host that it was when this run began: {found}",
            remedy="start a new run: trials of two hosts do not belong in one comparison",
        )


def reboots(entries: Iterable[Entry]) -> list[tuple[int, tuple[str, ...]]]:
    """The first trials after reboots: their ordinals, and which hosts had been rebooted."""
    boots: dict[str, str] = {}
    hosts: dict[int | None, str] = {}
    pending: list[str] = []
    found = []
    for entry in entries:
        if entry.act == "connect" and entry.phase == "meant":
            hosts[entry.seq] = str(entry.data["host"])
        elif entry.act == "connect" and entry.phase == "done":
            host, boot = hosts[entry.of], str(entry.data.get("boot_id", ""))
            if boots.setdefault(host, boot) != boot:
                pending.append(host)
            boots[host] = boot
        elif entry.act == "trial" and entry.phase == "meant" and pending:
            found.append((int(entry.data["ordinal"]), tuple(dict.fromkeys(pending))))
            pending = []
    return found
