"""Tuning on a host, ended at any of its steps; runs on the host itself, with the agent as a library.

`loop MOST` tunes, is killed at a step, and restores, for so many steps, and prints what was wrong, one JSON
object for a step. `pause STEP word…` is the agent's program with these words, which stops for good before it
goes on from STEP, and writes its pid to /root/paused. A step is a write to the journal, a setting that was
written, a call of the kernel, or one command to systemd. `PYTHONPATH=PROGRAM python3 -m tests.lab.steps …`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchctl.agent import holder, machine, nic, tuned, tuning_journal
from benchctl.agent.context import Context
from benchctl.agent.knobs import KNOBS
from benchctl.agent.main import main as agent
from benchctl.agent.profiles import PROFILES
from tests.lab import snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.lab.snapshot import Shown

PAUSED = Path("/root/paused")
LOOKS = {field.get for field in nic.FIELDS.values()}  # requests that set nothing
SLOW = {"unit", "held", "journald"}  # kinds whose steps take seconds each, by systemd


class Steps:
    """Counts the steps of this process; at the chosen one, from 1, `end` is called."""

    def __init__(self, at: int, end: Callable[[], None]) -> None:
        self.at = at
        self.end = end
        self.names: list[str] = []
        self._one = threading.Lock()  # an agent has threads: none may step over the chosen one

    def hit(self, name: str) -> None:
        with self._one:
            self.names.append(name)
            last = len(self.names) == self.at
        if last:
            self.end()

    def install(self) -> None:
        host, journal, held = machine.Machine, tuning_journal.Journal, holder.Holder
        self._after(host, "write", lambda _, path, text: f"{path} <- {text}")
        self._after(host, "create", lambda _, path, text: f"{path}: made")
        self._after(host, "delete", lambda _, path: f"{path}: removed")
        self._after(host, "call", lambda _, *words: _call(*words))
        self._after(host, "systemctl", lambda _, words: _command(words))
        self._after(held, "release", lambda _: "the holder is let go")
        self._after(held, "hold", lambda _, root, us: f"the holder holds {us}")
        self._tear()
        self._after(journal, "_add", lambda _, lines: f"journal: {next(iter(lines[0]))} synced")
        self._after(journal, "replace", lambda _, batches: f"journal: {len(batches)} kept")

    def _after(self, owner: type, name: str, label: Callable[..., str]) -> None:
        """Make a step of each return of a method; `label` gets its arguments, and "" is no step."""
        plain = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            try:
                return plain(*args, **kwargs)
            finally:
                told = label(*args, **kwargs)
                if told:
                    self.hit(told)

        setattr(owner, name, counted)

    def _tear(self) -> None:
        """Let a step be half of what the journal adds."""
        plain = tuning_journal._write_all  # noqa: SLF001 - a crash comes in the middle of it

        def torn(handle: int, data: bytes) -> None:
            if len(self.names) + 1 == self.at:
                plain(handle, data[: len(data) // 2])
                os.fsync(handle)
            self.hit("journal: half a text")
            plain(handle, data)

        tuning_journal._write_all = torn  # noqa: SLF001


class Outcome(NamedTuple):
    """How a child ended: its exit status, and what it did and said unless it was killed."""

    status: int
    steps: list[str]
    reply: dict[str, Any]


def _command(words: list[str]) -> str:
    return "" if words[0].startswith(("list", "show")) else f"systemctl {' '.join(words)}"


def _call(name: str, *arguments: Any) -> str:
    looks = arguments == (None,) if name == "audit" else name == "ethtool" and arguments[1][0] in LOOKS
    return "" if looks else name


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stop() -> None:
    part = PAUSED.with_suffix(".part")
    part.write_text(f"{os.getpid()}\n")
    part.replace(PAUSED)
    os.kill(os.getpid(), signal.SIGSTOP)


def tune(values: Mapping[str, str]) -> dict[str, Any]:
    return tuned.tune(Context("steps", supervised=False), dict(values), profile="steps", kept=True)


def restore() -> dict[str, Any]:
    return tuned.by_hand(force=False)


def forked(act: Callable[[], dict[str, Any]], at: int = 0) -> Outcome:
    """Let a child act, killed at a step."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            steps = Steps(at, die)
            steps.install()
            reply = act()
            with os.fdopen(writing, "w") as file:
                json.dump((steps.names, reply), file)
            status = 0
        except BaseException:  # noqa: BLE001 - a child never goes on where its parent does
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as file:
        said = file.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return Outcome(status, *(json.loads(said) if said else ([], {})))


def named() -> set[str]:
    """The places that the journal names, with what lies beside them."""
    entries = [entry for batch in tuned.journal_here().read()[0] for entry in batch.entries]
    names = {name for entry in entries for name in (entry.path, *entry.beside)}
    return {os.path.realpath(name) if name.startswith("/") else name for name in names}


def one(
    act: Callable[[], dict[str, Any]], number: int, before: Shown, look: Callable[[], Shown]
) -> dict[str, Any]:
    """Kill `act` at a step, look, give back, look again; return what changed and what is wrong."""
    killed = forked(act, number)
    wrong = [] if killed.status == -signal.SIGKILL else [f"it ended with {killed.status}"]
    names = named()
    moved = snapshot.changed(before, look())
    wrong += [f"not in the journal: {path}" for path in moved if not snapshot.explained(path, names)]
    undone = forked(restore)
    if undone.status or undone.reply["left"] or undone.reply["failed"]:
        wrong.append(f"restore: {undone}")
    after = look()
    wrong += [
        f"not given back: {path}: {before.get(path)!r} -> {after.get(path)!r}"
        for path in snapshot.changed(before, after)
    ]
    if tuned.journal_here().path.exists():
        wrong.append("the journal is still there")
    return {"changed": len(moved), "wrong": wrong}


def chosen(count: int, most: int) -> list[int]:
    """So many steps, evenly: the one in the middle, or the first and the last among them."""
    if most == 1:
        return [(count + 1) // 2]
    return sorted({1 + round(index * (count - 1) / (most - 1)) for index in range(most)})


def part(values: Mapping[str, str], most: int, take: Callable[[], Shown]) -> None:
    """Kill tuning with these values, and restoring them, at so many steps.

    All that `take` sees is looked at after the last step. In between it is the files that tuning changes, or,
    where it changes more than those, all that is no setting of the kernel: units are not read one by one.
    """
    before = take()
    tuning = partial(tune, values)
    tuned_by = forked(tuning).steps
    moved = snapshot.changed(before, take())
    restored_by = forked(restore).steps
    near = {path: before[path] for path in moved if path in before}
    look: Callable[[], Shown] = partial(snapshot.shown, near)
    if not all(path.startswith(snapshot.SETTINGS) for path in near):
        near = {path: text for path, text in before.items() if not path.startswith(snapshot.SETTINGS)}
        look = snapshot.beside
    for name, steps in (("tune", tuned_by), ("restore", restored_by)):
        for number in chosen(len(steps), min(len(steps), most)):
            begin = time.monotonic()
            if name == "restore":
                forked(tuning)
            act = restore if name == "restore" else tuning
            last = number == len(steps)
            told = one(act, number, *((before, take) if last else (near, look)))
            told |= {"seconds": round(time.monotonic() - begin, 1), "act": name}
            told |= {"step": number, "of": len(steps), "name": steps[number - 1]}
            sys.stdout.write(f"{json.dumps(told)}\n")
            sys.stdout.flush()


def loop(most: int) -> None:
    """So many steps of the profile's quick part, and a third as many of its slow part."""
    if tuned.journal_here().path.exists():
        message = "this host is tuned: nobody knows what it was before"
        raise RuntimeError(message)
    values = PROFILES["repeatable"]
    slow = {name: text for name, text in values.items() if KNOBS[name].kind in SLOW and name != "irqbalance"}
    quick = {name: text for name, text in values.items() if name not in slow}
    part(quick, most, partial(snapshot.taken, quick=True))
    part(slow, max(1, most // 3), snapshot.taken)


def main() -> int:
    verb, number, *words = sys.argv[1:]
    sys.argv = [os.environ["PYTHONPATH"], *words]  # as whom the agent starts further processes
    if verb == "loop":
        loop(int(number))
        return 0
    Steps(int(number), stop).install()
    return agent()


if __name__ == "__main__":
    sys.exit(main())
