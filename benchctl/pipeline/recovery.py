"""What an earlier execution of the same run left behind, and whether the host is still the one it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchctl.errors import RunStateError
from benchctl.model.event import Message

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
    if left_open(session.journal.entries()):
        session.listener(
            Message(level="info", text="an earlier execution did not end: stopping what it left")
        )
        session.agent()
        session.release()


def left_open(entries: Iterable[Entry]) -> bool:
    """Whether a connection was opened, or meant to be, and never ended."""
    opened = False
    for entry in entries:
        if entry.act == "connect" and entry.phase in {"meant", "done"}:
            opened = True
        elif (entry.act == "connect" and entry.phase == "failed") or (
            entry.act == "end" and entry.phase == "done"
        ):
            opened = False
    return opened


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


def reboots(entries: Iterable[Entry]) -> list[int]:
    """The ordinals of the first trials after a reboot of their host."""
    boots: list[str] = []
    pending, found = False, []
    for entry in entries:
        if entry.act == "connect" and entry.phase == "done":
            boot = str(entry.data.get("boot_id", ""))
            pending = pending or (bool(boots) and boots[-1] != boot)
            boots.append(boot)
        elif entry.act == "trial" and entry.phase == "meant" and pending:
            found.append(int(entry.data["ordinal"]))
            pending = False
    return found
