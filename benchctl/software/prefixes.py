"""A prefix: a folder with bin/ or lib/ that is made here once and brought to hosts as one archive.

Its key is the hash of all that shapes it; the archive lies under the key in the controller's cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchctl.agent.layout import cache_folder
from benchctl.errors import UsageError
from benchctl.software import golang, maven
from benchctl.software.fetching import fetch, place
from benchctl.software.keeping import once
from benchctl.software.wanted import Fetch, Go, Maven, Tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchctl.software.wanted import Wanted

_KEY = 16  # hexadecimal digits of a folder's name


class Prefix(NamedTuple):
    """Where the archive lies or will lie."""

    key: str
    archive: Path

    @property
    def made(self) -> bool:
        return self.archive.exists()


def prefix(wanted: Wanted) -> Prefix:
    """Name what is wanted, and make nothing. Raises UsageError for files that are not there."""
    try:
        inputs = json.dumps(_inputs(wanted), sort_keys=True)
    except FileNotFoundError as error:
        raise UsageError(
            f"bench_built: {error.filename} is not there", remedy="the role has to bring it"
        ) from error
    key = hashlib.sha256(inputs.encode()).hexdigest()[:_KEY]
    return Prefix(key, cache_folder() / "prefixes" / f"{key}.tar.gz")


def make(wanted: Wanted) -> float | None:
    """Make the archive and return the seconds it took; None when it was there. Raises SoftwareError."""
    began = time.monotonic()
    if not once(prefix(wanted).archive, lambda part: _pack(wanted, part)):
        return None
    return time.monotonic() - began


def _inputs(wanted: Wanted) -> list[object]:
    """All that shapes the result, beginning with its kind."""
    match wanted:
        case Fetch():
            name = wanted.into or wanted.url.rpartition("/")[2]
            return ["fetch", wanted.sha256, name, wanted.unpack]
        case Go():
            folder = Path(wanted.folder)
            how = golang.flags(wanted.machine)
            return ["go", golang.version(folder), how, wanted.packages, _hashes(_files(folder))]
        case Maven():
            folder = Path(wanted.folder)
            listed = [("pom.xml", folder / "pom.xml"), (maven.SUMS, folder / maven.SUMS)]
            return ["maven", wanted.unpack, _hashes(listed)]
        case Tree():
            return ["tree", _hashes(_parts(wanted))]


def _pack(wanted: Wanted, part: Path) -> Path:
    folder = part / "prefix"
    match wanted:
        case Fetch():
            place(fetch(wanted.url, wanted.sha256), wanted.into, unpack=wanted.unpack, prefix=folder)
        case Go():
            golang.build(wanted, part)
        case Maven():
            maven.collect(wanted, part)
    files = _parts(wanted) if isinstance(wanted, Tree) else _files(folder)
    archive = part / "archive.tar.gz"
    with archive.open("wb") as file:
        with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as packed:
            for name, path in files:
                packed.add(path, name, recursive=False, filter=_plain)
        file.flush()
        os.fsync(file.fileno())
    return archive


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Root's, and readable by everyone: as a package's files are."""
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mode = 0o755 if member.mode & 0o111 else 0o644
    return member


def _parts(tree: Tree) -> list[tuple[str, Path]]:
    root = Path(tree.root)
    return [found for part in tree.parts for found in _part(root, part)]


def _part(root: Path, part: str) -> Iterator[tuple[str, Path]]:
    if (root / part).is_file():
        yield part, root / part
    else:
        yield from ((f"{part}/{name}", path) for name, path in _files(root / part))


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Names and paths of the files in a folder, in order. Raises FileNotFoundError when it is none."""
    if not folder.is_dir():
        raise FileNotFoundError(2, "no folder", str(folder))
    for path in sorted(folder.rglob("*")):
        if not path.is_dir() or path.is_symlink():
            yield str(path.relative_to(folder)), path


def _hashes(files: Iterable[tuple[str, Path]]) -> list[tuple[str, int, str]]:
    """What each file is: its name, whether it may be executed, the hash of its content."""
    return [
        (name, path.stat().st_mode & 0o111, hashlib.sha256(path.read_bytes()).hexdigest())
        for name, path in files
    ]
