"""One file of JSON lines, synced line by line, that survives a crash at any instant.

A line that a crash cut short is dropped when the journal is read; a broken line in the middle is an error.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from benchctl.errors import RunStateError
from benchctl.model.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Phase = Literal["meant", "done", "failed", "note"]


class Entry(Record, frozen=True, kw_only=True):
    """One line: `of` is the number of the entry that announced the act, for `done` and `failed`."""

    seq: int  # from 1
    time: float  # seconds since the epoch
    act: str
    phase: Phase
    of: int | None = None
    data: dict[str, Any] = msgspec.field(default_factory=dict)


class Act:
    """An announced act; what it learns while it runs goes into its closing entry."""

    def __init__(self, seq: int) -> None:
        self.seq = seq
        self.facts: dict[str, Any] = {}

    def learned(self, **facts: Any) -> None:  # noqa: ANN401 - any JSON value
        self.facts.update(facts)


class Journal:
    """Appends entries, from any thread; every append is on disk when it returns."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        """Open or create the file and lock it; a line cut short by a crash is removed first.

        Raises RunStateError when another process has it open, or when it cannot be read or written.
        """
        self.path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._fd = _open_locked(path)
        entries, intact = _scan(path)
        self._seq = entries[-1].seq if entries else 0
        self._length = intact
        os.ftruncate(self._fd, intact)
        _sync_folder(path.parent)

    @contextmanager
    def act(self, name: str, **data: Any) -> Iterator[Act]:  # noqa: ANN401 - any JSON value
        """Announce an act, run the body, record how it ended. The body's exception goes on.

        It goes on also when it cannot be recorded: it came first, and the next entry tells of the journal.
        """
        act = Act(self._append(name, "meant", None, data))
        try:
            yield act
        except BaseException as error:
            with suppress(RunStateError):
                self._append(name, "failed", act.seq, {**act.facts, "reason": str(error) or repr(error)})
            raise
        self._append(name, "done", act.seq, act.facts)

    def note(self, name: str, **data: Any) -> None:  # noqa: ANN401 - any JSON value
        """Record a fact that announces nothing."""
        self._append(name, "note", None, data)

    def entries(self) -> tuple[Entry, ...]:
        return read(self.path)

    def close(self) -> None:
        os.close(self._fd)

    def _append(self, act: str, phase: Phase, of: int | None, data: dict[str, Any]) -> int:
        with self._lock:
            seq = self._seq + 1
            entry = Entry(seq=seq, time=self._clock(), act=act, phase=phase, of=of, data=data)
            line = msgspec.json.encode(entry) + b"\n"
            try:
                _write_whole(self._fd, line)
                os.fdatasync(self._fd)
            except OSError as error:
                os.ftruncate(self._fd, self._length)
                raise RunStateError(
                    f"{self.path}: the entry for {act} could not be written: {error}",
                    remedy="free space on that file system, then `benchctl destroy` the run",
                ) from error
            self._seq = seq
            self._length += len(line)
            return seq


def read(path: Path) -> tuple[Entry, ...]:
    """All whole entries, in order. Raises RunStateError with file and line for a broken one."""
    return _scan(path)[0]


def is_open(path: Path) -> bool:
    """Whether a living process has the journal open for writing."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _scan(path: Path) -> tuple[tuple[Entry, ...], int]:
    """Return the entries and the length in bytes of the intact part."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return (), 0
    intact = data.rfind(b"\n") + 1
    entries = []
    for number, line in enumerate(data[:intact].splitlines(), start=1):
        try:
            entries.append(msgspec.json.decode(line, type=Entry))
        except msgspec.MsgspecError as error:
            raise RunStateError(
                f"{path}:{number}: not a journal entry: {error}",
                remedy="restore the file from a copy; `report --recompute` still shows finished trials",
            ) from error
    return tuple(entries), intact


def _open_locked(path: Path) -> int:
    """Open for appending; the lock ends with the process, so a crash leaves none behind."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise RunStateError(
            f"{path}: {error.strerror}", remedy="make the run directory writable, or copy it to where it is"
        ) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise RunStateError(
            f"{path.parent}: another benchctl works on this run",
            remedy=f"`benchctl status {path.parent.name}` shows how far it is; wait for its end",
        ) from error
    return fd


def _write_whole(fd: int, line: bytes) -> None:
    while line:
        line = line[os.write(fd, line) :]


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
