"""Which logs a run has and where they lie: fetched into the run directory, or on this machine while it runs.

Must not change anything and takes no lock: a log may be read while its run goes on.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchctl.journal import Entry
    from benchctl.results.store import RunStore

_LOADER_FILES = ("stdout", "stderr")
_CHUNK = 1 << 16  # bytes


class Log(NamedTuple):
    """A log by a name that stays the same when the file moves from the host into the run directory."""

    name: str
    path: Path


class Cursor:
    """How far a log has been read; each call gives the lines that came since."""

    def __init__(self) -> None:
        self._offset = 0

    def lines(self, path: Path, *, whole: bool) -> Iterator[str]:
        """Yield new lines; `whole` keeps back a last line that has no end yet."""
        try:
            file = path.open("rb")
        except OSError:
            return  # it moved between the look and the opening: the next look finds it
        with file:
            if file.seek(0, 2) < self._offset:
                self._offset = 0  # the server started anew and with it its log
            file.seek(self._offset)
            while line := file.readline(_CHUNK):
                if whole and not line.endswith(b"\n") and len(line) < _CHUNK:
                    return
                self._offset += len(line)
                yield line.decode(errors="backslashreplace").rstrip("\r\n")


def host_names(store: RunStore) -> tuple[str, ...]:
    """Return the hosts of a run, as far as it has any yet."""
    fetched = {path.name for path in store.path.glob("hosts/*") if path.is_dir()}
    known = (
        {host.name for host in store.inventory().hosts} if (store.path / "inventory.json").exists() else ()
    )
    return tuple(sorted(fetched.union(known)))


def host_logs(store: RunStore, host: str, entries: Iterable[Entry]) -> list[Log]:
    """Return the servers' logs of a host. Raises UsageError for a host that the run does not have."""
    known = host_names(store)
    if host not in known:
        raise UsageError(
            f"host {host!r}: the run {store.id} has no such host",
            remedy=f"name one of: {', '.join(known) or 'none yet'}",
        )
    folder = store.path / "hosts" / host / "logs"
    found = {path.relative_to(folder).as_posix(): path for path in _files(folder.rglob("*"))}
    work = _works(entries).get(host)
    if work is not None:
        for path in _files(work.glob("*/*.log")):
            found.setdefault(path.relative_to(work).as_posix(), path)
    return [Log(f"{host}/{name}", path) for name, path in sorted(found.items())]


def trial_logs(store: RunStore, ordinal: int, entries: Iterable[Entry]) -> list[Log]:
    """Return what the load generator printed in a trial, attempts that did not finish first.

    Raises UsageError for a trial that the run does not have.
    """
    folder = store.trial_folder(ordinal)
    planned = len(store.plan().trials)
    if not folder.is_dir() and not 1 <= ordinal <= planned:
        raise UsageError(
            f"trial {ordinal}: the run {store.id} has {planned} trials",
            remedy=f"name one from 1 to {planned}",
        )
    attempts = sorted(folder.glob("attempts/*"), key=lambda path: (len(path.name), path.name))
    found = {
        path.relative_to(folder).as_posix(): path
        for attempt in attempts
        for place in _hosts(attempt)
        for path in _outputs(place)
    }
    raw = folder / "raw"
    found |= {path.relative_to(raw).as_posix(): path for place in _hosts(raw) for path in _outputs(place)}
    for host, work in _works(entries).items():
        for path in _outputs(work / "trials" / f"{ordinal:04d}"):
            found.setdefault(f"{host}/{path.name}", path)
    return [Log(f"trial {ordinal}: {name}", path) for name, path in found.items()]


def ansible_logs(store: RunStore) -> list[Log]:
    """Return what Ansible printed, one file per call."""
    found = sorted(store.path.glob("ansible/*/*"), key=lambda p: (p.parent.name, len(p.name), p.name))
    outputs = [path for call in found for path in _outputs(call)]
    return [Log(path.relative_to(store.path).as_posix(), path) for path in outputs]


def _hosts(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_dir())


def _outputs(folder: Path) -> list[Path]:
    return _files(folder / name for name in _LOADER_FILES)


def _files(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if path.is_file() and not path.is_symlink())


def _works(entries: Iterable[Entry]) -> dict[str, Path]:
    """The run's work folder on each host that is this machine, while it is still there."""
    hosts = {e.seq: str(e.data.get("host")) for e in entries if e.act == "connect" and e.phase == "meant"}
    works = {
        hosts.get(e.of or 0, ""): Path(str(e.data.get("work")))
        for e in entries
        if e.act == "connect" and e.phase == "done"
    }
    return {host: work for host, work in works.items() if work.is_dir()}
