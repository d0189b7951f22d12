"""The journal of tuning on the host: what each setting was, synced before any of them is written.

Owns one file, its form and its lock. A batch is one act of tuning: whose, its entries in the order of their
writing, and what became of them. Must not read or write any setting.
"""

import contextlib
import fcntl
import json
import os
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from benchctl.agent.layout import TUNING_JOURNAL
from benchctl.agent.process import boot_id
from benchctl.agent.wire import Json

SCHEMA = 1
LASTING = frozenset({"boot"})  # kinds of knobs that do not end with their boot


class Entry(NamedTuple):
    """One place that is set, with the texts before and after as the kernel shows and takes them."""

    knob: str
    kind: str
    form: str
    path: str
    old: str
    new: str
    beside: Dict[str, str]  # path -> text of what the kernel may change along with it


class Batch(NamedTuple):
    """One act of tuning."""

    head: Json  # run, profile, kept, boot_id, host, program, time
    entries: List[Entry]
    after: Optional[Json]  # written: paths; not: path -> what it reads as instead; None after a crash

    @property
    def run(self) -> str:
        """Whose it is."""
        return str(self.head.get("run"))

    @property
    def here(self) -> bool:
        """Whether what it wrote can still be in force: settings end with the boot."""
        return self.head.get("boot_id") == boot_id()

    @property
    def written(self) -> List[Entry]:
        """The entries that were written, or may have been."""
        if self.after is None:
            return self.entries
        done = set(self.after["written"])
        return [entry for entry in self.entries if entry.path in done]

    def shown(self, entry: Entry) -> str:
        """Return what its place showed after it was set."""
        failed = self.after["not"] if self.after else {}
        return str(failed.get(entry.path, entry.new))

    @property
    def wanted(self) -> List[Entry]:
        """The entries that are to be found as they were set."""
        failed = set(self.after["not"]) if self.after else set()
        return [entry for entry in self.entries if entry.path not in failed]


def standing(batches: Sequence[Batch]) -> List[Batch]:
    """Return what can still be in force: all of this boot's acts, of earlier ones what outlives a boot."""
    found = []
    for batch in batches:
        lasting = [entry for entry in batch.entries if entry.kind in LASTING]
        if batch.here:
            found.append(batch)
        elif lasting:
            found.append(batch._replace(entries=lasting))
    return found


class Journal:
    """The journal in a state folder."""

    def __init__(self, folder: Path) -> None:
        """Refer to it; nothing is made yet."""
        self.folder = folder
        self.path = folder / TUNING_JOURNAL

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other program from tuning and restoring. Makes the folder; raises OSError.

        The lock is on the folder itself, which goes with the last thing in it.
        """
        handle = self._lock()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                self.folder.rmdir()
            os.close(handle)

    def _lock(self) -> int:
        while True:
            self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # another program has just left it
                handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                fcntl.flock(handle, fcntl.LOCK_EX)
                if _is_at(handle, self.folder):
                    return handle
                os.close(handle)

    def read(self) -> Tuple[List[Batch], List[str]]:
        """Return the batches, and in words what of the file cannot be read; both empty without a file."""
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return [], []
        batches: List[Batch] = []
        problems = []
        torn = lines.pop()  # what follows the last newline: nothing, or a line that a crash cut off
        for number, line in enumerate(lines, start=1):
            try:
                _add(batches, json.loads(line))
            except (ValueError, KeyError, TypeError, IndexError):
                problems.append(f"{self.path}:{number}: not a line of the journal")
        if torn:
            problems.append(f"{self.path}: ends in the middle of a line: a crash cut it off")
        return batches, problems

    def append(self, head: Json, entries: List[Entry]) -> None:
        """Add a batch and sync it. Raises OSError, and then the file is as it was."""
        self._add([{"batch": {"schema": SCHEMA, **head}}, *_lines(entries)])

    def conclude(self, written: List[str], failed: Dict[str, str]) -> None:
        """Add what became of the last batch, and sync it; `failed` holds what their places show instead."""
        self._add([{"after": {"written": written, "not": failed}}])

    def replace(self, batches: List[Batch]) -> None:
        """Keep these batches only; without any the file goes."""
        if not batches:
            self.path.unlink(missing_ok=True)
            _sync_folder(self.folder)
            return
        lines: List[Json] = []
        for batch in batches:
            lines += [{"batch": batch.head}, *_lines(batch.entries)]
            lines += [] if batch.after is None else [{"after": batch.after}]
        part = self.path.with_name(f".{TUNING_JOURNAL}.{os.getpid()}")
        with part.open("wb") as file:
            file.write(_text(lines))
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.path)
        _sync_folder(self.folder)

    def _add(self, lines: List[Json]) -> None:
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            size = os.lseek(handle, 0, os.SEEK_END)
            torn = size and os.pread(handle, 1, size - 1) != b"\n"
            try:
                _write_all(handle, (b"\n" if torn else b"") + _text(lines))
                os.fsync(handle)
            except OSError:
                os.ftruncate(handle, size)
                if not size:
                    self.path.unlink()
                raise
        finally:
            os.close(handle)
        _sync_folder(self.folder)


def _add(batches: List[Batch], line: Json) -> None:
    if "batch" in line:
        batches.append(Batch(dict(line["batch"]), [], None))
    elif "entry" in line:
        entry = Entry(*line["entry"])
        if not all(isinstance(text, str) for text in entry[:-1]):
            raise TypeError(line)
        batches[-1].entries.append(entry)
    else:
        after = {"written": list(line["after"]["written"]), "not": dict(line["after"]["not"])}
        batches[-1] = batches[-1]._replace(after=after)


def _lines(entries: List[Entry]) -> List[Json]:
    return [{"entry": list(entry)} for entry in entries]


def _text(lines: List[Json]) -> bytes:
    return b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines)


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def _is_at(handle: int, path: Path) -> bool:
    """Say whether an open folder still lies at its path."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
