"""One file by URL and SHA-256, once, from its own place or a nearer one.

BENCHCTL_DOWNLOADS is a folder that is looked into first, BENCHCTL_MIRROR the beginning of URLs that stands
for the scheme: what comes from there has the same checksum, or is not taken.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import tarfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from benchctl import __version__
from benchctl.agent.layout import cache_folder
from benchctl.errors import SoftwareError
from benchctl.software.keeping import once

if TYPE_CHECKING:
    from typing import BinaryIO

SCHEMES = ("https", "http", "file")
_SILENCE = 60  # seconds without a byte
_CHUNK = 1 << 20


def fetch(url: str, sha256: str) -> Path:
    """Return the file, from the cache when it is there. Raises SoftwareError with the remedy."""
    name = Path(unquote(urlsplit(url).path)).name or "file"
    target = cache_folder() / "software" / "files" / sha256
    once(target, lambda part: _download(url, name, sha256, part))
    return target / name


def _download(url: str, name: str, sha256: str, part: Path) -> Path:
    source = _source(url, name)
    folder = part / "complete"
    folder.mkdir()
    with (folder / name).open("wb") as file:
        found = _copy(source, file)
    if found != sha256:
        raise SoftwareError(
            f"{source} has the SHA-256 {found}; wanted is {sha256}. It is not kept.",
            remedy="compare with what its maker publishes: the file may have changed, or the source is wrong",
        )
    return folder


def _source(url: str, name: str) -> str:
    """Where the file is taken from: the local folder, the mirror, or its own place."""
    if downloads := os.environ.get("BENCHCTL_DOWNLOADS"):
        local = Path(downloads).absolute() / name
        if local.is_file():
            return local.as_uri()
    parts = urlsplit(url)
    if (mirror := os.environ.get("BENCHCTL_MIRROR")) and parts.scheme != "file":
        return f"{mirror.rstrip('/')}/{parts.netloc}{parts.path}{'?' + parts.query if parts.query else ''}"
    return url


def _copy(source: str, file: BinaryIO) -> str:
    """Write what the URL gives to the file and to disk; return its SHA-256."""
    digest = hashlib.sha256()
    if urlsplit(source).scheme not in SCHEMES:
        raise SoftwareError(
            f"{source} is no URL of {', '.join(SCHEMES)}", remedy="see BENCHCTL_MIRROR and the role"
        )
    try:
        request = Request(source, headers={"User-Agent": f"benchctl/{__version__}"})  # noqa: S310 - looked at
        with urlopen(request, timeout=_SILENCE) as answer:  # noqa: S310 - same
            expected = answer.headers.get("Content-Length")
            while chunk := answer.read(_CHUNK):
                digest.update(chunk)
                file.write(chunk)
    except (URLError, OSError, http.client.HTTPException, ValueError) as error:
        raise _unreachable(source, _reason(error)) from error
    file.flush()
    os.fsync(file.fileno())
    if expected is not None and file.tell() != int(expected):
        raise _unreachable(source, f"it ended after {file.tell()} of {expected} bytes")
    return digest.hexdigest()


def _reason(error: Exception) -> str:
    if isinstance(error, HTTPError):
        error.close()  # it is the answer, with its connection
        return str(error)
    return str(error.reason if isinstance(error, URLError) else error)


def _unreachable(source: str, why: str) -> SoftwareError:
    return SoftwareError(
        f"{source} cannot be fetched: {why}",
        remedy=(
            "try again; or set BENCHCTL_MIRROR to the URL of a mirror that this machine reaches (host and"
            " path of the file follow it), or BENCHCTL_DOWNLOADS to a folder that holds the file"
        ),
    )


def place(file: Path, into: str, *, unpack: bool, prefix: Path) -> None:
    """Put a fetched file into a prefix. Raises SoftwareError for what is no archive of tar's."""
    target = prefix / into
    if unpack:
        try:
            with tarfile.open(file) as archive:
                archive.extractall(target, filter="data")
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise SoftwareError(
                f"{file.name} cannot be unpacked: {error}", remedy="it has to be a tar archive"
            ) from error
        return
    target = target if into else prefix / file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)
    target.chmod(0o755 if target.parent.name == "bin" else 0o644)
