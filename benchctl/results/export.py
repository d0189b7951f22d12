"""A run as one archive to hand on: the same run directory gives the same bytes.

Owns the list of what travels. Only files that the run directory's layout knows go in: what else lies there,
such as a key or an environment file that somebody put beside them, stays.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import TYPE_CHECKING, NamedTuple

from benchctl.errors import RunStateError
from benchctl.journal import is_open, read
from benchctl.results.files import manifest, sha256, sync_folder
from benchctl.results.integrity import MANIFEST, damaged

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import BinaryIO

    from benchctl.results.store import RunStore

LAYOUT = (
    "experiment.yml",
    "plan.json",
    "journal.jsonl",
    "state.json",
    "inventory.json",
    "descriptors.json",
    MANIFEST,
    "summary.json",
    "report.html",
    "report.md",
    "ansible/*/*/stdout",
    "ansible/*/*/stderr",
    "ansible/*/*/rc",
    "ansible/*/*/status",
    "hosts/*/fingerprint.json",
    "hosts/*/knobs.json",
    "hosts/*/logs/**/*",
    "trials/*/trial.json",
    "trials/*/*.parquet",
    "trials/*/raw/**/*",
    "trials/*/attempts/**/*",
)


class Exported(NamedTuple):
    """What an export wrote, and what a reader of it should know."""

    path: Path
    files: int
    bytes: int
    sha256: str
    left_out: tuple[str, ...]  # files of the run directory that do not travel
    damaged: tuple[str, ...]  # files that are not what the manifest says, and travel as they are


def export_run(store: RunStore, target: Path) -> Exported:
    """Write a tar.gz of the run, complete or not at all; an existing target is replaced.

    A run without a manifest (it never reached collect) gets one of all its files inside the archive. Raises
    RunStateError when somebody works on the run, or when the archive cannot be written.
    """
    if is_open(store.path / "journal.jsonl"):
        raise RunStateError(f"{store.id} is running", remedy="export it when it has ended")
    chosen = _chosen(store)
    part = target.with_name(f".{target.name}.tmp")
    try:
        with part.open("wb") as file:
            _write(file, store, chosen)
        part.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RunStateError(
            f"{target}: the archive cannot be written: {error.strerror}",
            remedy="name another file with --output",
        ) from error
    names = {path.relative_to(store.path).as_posix() for path in chosen}
    there = {p.relative_to(store.path).as_posix() for p in store.path.rglob("*") if not p.is_dir()}
    return Exported(
        path=target,
        files=len(names),
        bytes=target.stat().st_size,
        sha256=sha256(target),
        left_out=tuple(sorted(there - names)),
        damaged=damaged(store.path),
    )


def _chosen(store: RunStore) -> list[Path]:
    """The files that travel, in the order of their names; no links, no folders, nothing half written."""
    found = {path for pattern in LAYOUT for path in store.path.glob(pattern) if _travels(path)}
    named = set(store.plan().files.values())  # files that the experiment names are known by their content
    if named:
        others = {path for path in store.path.rglob("*") if _travels(path)} - found
        found |= {path for path in others if sha256(path) in named}
    return sorted(found)


def _travels(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and not path.name.startswith(".")


def _write(file: BinaryIO, store: RunStore, chosen: Iterable[Path]) -> None:
    moment = _moment(store)
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in chosen:
            with path.open("rb") as content:
                entry = _entry(f"{store.id}/{path.relative_to(store.path).as_posix()}", moment)
                entry.size = path.stat().st_size
                archive.addfile(entry, content)
        if not (store.path / MANIFEST).is_file():
            data = manifest(store.path, chosen)
            entry = _entry(f"{store.id}/{MANIFEST}", moment)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def _entry(name: str, moment: int) -> tarfile.TarInfo:
    """An entry that tells nothing of the machine and user that made the archive."""
    entry = tarfile.TarInfo(name)
    entry.mode = 0o644
    entry.mtime = moment
    return entry


def _moment(store: RunStore) -> int:
    """When the run began, for all entries alike: a copy of the run directory gives the same archive."""
    entries = read(store.path / "journal.jsonl")
    return int(entries[0].time) if entries else 0
