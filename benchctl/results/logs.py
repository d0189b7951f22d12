"""Which logs a run has and where they lie: fetched into the run directory, or on this machine while it runs.

Must not change anything and takes no lock: a log may be read while its run goes on.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchctl.journal import Entry
    from benchctl.model.host import Host
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
    """Return the logs of a host's services. Raises UsageError for a host that the run does not have."""
    require_host(store, host)
    folder = store.path / "hosts" / host / "logs"
    found = {path.relative_to(folder).as_posix(): path for path in _files(folder.rglob("*"))}
    work = _works(entries).get(host)
    if work is not None:
        for path in _files(work.glob("*/*.log")):
            found.setdefault(path.relative_to(work).as_posix(), path)
    return [Log(f"{host}/{name}", path) for name, path in sorted(found.items())]


def require_host(store: RunStore, host: str) -> None:
    """Raise UsageError for a host that the run does not have."""
    known = host_names(store)
    if host not in known:
        raise UsageError(
            f"host {host!r}: the run {store.id} has no such host",
            remedy=f"name one of: {', '.join(known) or 'none yet'}",
        )


def of_task(logs: Iterable[Log], task: str) -> list[Log]:
    """Return those of a task, a stage or a server: `redis`, `database`, `database.redis`, `postgresql`."""
    wanted = re.split(r"[/.]", task)

    def belongs(name: str) -> bool:
        words = re.split(r"[/.]", name)
        starts = range(len(words) - len(wanted) + 1)
        return any(
            all(word in {full, full.split("-")[0]} for word, full in zip(wanted, words[at:], strict=False))
            for at in starts
        )

    return [log for log in logs if belongs(log.name.partition("/")[2])]


def on_host(
    store: RunStore, host: str, trial: int | None, entries: Iterable[Entry]
) -> tuple[Host, list[str]]:
    """Return a host that is not this machine, and where logs of a run that goes on lie on it."""
    (found,) = (one for one in store.inventory().hosts if one.name == host)
    work = _all_works(entries).get(host)
    if work is None:
        return found, []
    if trial is not None:
        return found, [f"{work}/trials/{trial:04d}/{name}" for name in _LOADER_FILES]
    plan = store.plan()
    instances = [instance.id for instance in plan.instances]
    for stage in plan.stages:
        tasks = stage.spec.tasks if stage.spec is not None else ()
        instances += [f"{stage.name}.{task.name or number}" for number, task in enumerate(tasks, start=1)]
    return found, [f"{work}/{instance}/server.log" for instance in instances]


def trial_logs(store: RunStore, ordinal: int, entries: Iterable[Entry], host: str | None = None) -> list[Log]:
    """Return what the load generators printed in a trial, attempts that did not finish first.

    Of all hosts, or of one. Raises UsageError for a trial, or a host, that the run does not have.
    """
    if host is not None:
        require_host(store, host)
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
        for place in _hosts(attempt, host)
        for path in _outputs(place)
    }
    raw = folder / "raw"
    found |= {
        path.relative_to(raw).as_posix(): path for place in _hosts(raw, host) for path in _outputs(place)
    }
    for name, work in _works(entries).items():
        for path in _outputs(work / "trials" / f"{ordinal:04d}") if host in {None, name} else ():
            found.setdefault(f"{name}/{path.name}", path)
    return [Log(f"trial {ordinal}: {name}", path) for name, path in found.items()]


def ansible_logs(store: RunStore) -> list[Log]:
    """Return what Ansible printed, one file per call."""
    found = sorted(store.path.glob("ansible/*/*"), key=lambda p: (p.parent.name, len(p.name), p.name))
    outputs = [path for call in found for path in _outputs(call)]
    return [Log(path.relative_to(store.path).as_posix(), path) for path in outputs]


def _hosts(folder: Path, host: str | None) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_dir() and host in {None, path.name})


def _outputs(folder: Path) -> list[Path]:
    return _files(folder / name for name in _LOADER_FILES)


def _files(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if path.is_file() and not path.is_symlink())


def _works(entries: Iterable[Entry]) -> dict[str, Path]:
    """The run's work folder on each host that is this machine, while it is still there."""
    return {host: work for host, work in _all_works(entries).items() if work.is_dir()}


def _all_works(entries: Iterable[Entry]) -> dict[str, Path]:
    """The run's work folder on each host, as it was last told."""
    hosts: dict[int | None, str] = {}
    works = {}
    for entry in entries:
        if entry.act == "connect" and entry.phase == "meant":
            hosts[entry.seq] = str(entry.data.get("host"))
        elif entry.act == "connect" and entry.phase == "done":
            works[hosts.get(entry.of, "")] = Path(str(entry.data.get("work")))
    return works
