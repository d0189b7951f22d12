"""The packages that container hosts share: apt's lists and files, below benchctl's cache, fetched once a day.

A host sees both folders as its own and what it writes there stays with it, so no host waits for another's
lock; `keep` takes the files that it downloaded into the shared folder.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from benchctl.errors import StackError
from benchctl.provision.cache import cache_folder
from benchctl.provision.lab.image import locked
from benchctl.provision.lab.machines import ULIMITS
from benchctl.provision.lab.podman import podman

if TYPE_CHECKING:
    from pathlib import Path

CACHE, LISTS = "/var/cache/apt", "/var/lib/apt/lists"
SHARED = "/var/cache/benchctl"  # where a host reaches the shared folder of files itself
HASTY = "/etc/dpkg/dpkg.cfg.d/benchctl"  # hosts that live for minutes need not wait for the disk
FRESH = 24 * 3600.0  # seconds for which lists are good; then hosts may be told of files that are gone
LIMIT = 300.0  # seconds to fetch the lists
_FETCH = f"""apt-get -qq -o APT::Update::Error-Mode=any -o Acquire::Languages=none update
apt-cache -q gencaches
chown -R "$1" {LISTS} {CACHE}
"""
_KEEP = """cd "$1"
for file in *.deb; do
  if [ -e "$file" ] && [ ! -e "$2/$file" ]; then
    cp "$file" "$2/.$$"
    chown "$3" "$2/.$$"
    mv "$2/.$$" "$2/$file"
  fi
done"""


def volumes(image: str) -> tuple[str, ...]:
    """Return podman's volumes with which hosts of this image share packages; raises as `lists` does."""
    fetched = lists(image)
    cache, hasty = _folder() / "cache", _folder() / "dpkg.cfg"
    hasty.write_text("force-unsafe-io\n", encoding="ascii")
    return f"{cache}:{CACHE}:O", fetched, f"{cache}/archives:{SHARED}", f"{hasty}:{HASTY}:ro"


def lists(image: str) -> str:
    """Return podman's volume with apt's lists for hosts of this image; fetches them when they are too old.

    Where they cannot be fetched the last ones do. Raises StackError when there are none.
    """
    folder = _folder()
    (folder / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    with locked(folder / "lock"):
        return f"{_lists(folder, image)}:{LISTS}:O"


def keep(container: str) -> None:
    """Take what a host downloaded into the shared folder. Raises StackError when the host is gone."""
    podman("exec", container, "sh", "-ec", _KEEP, "keep", f"{CACHE}/archives", SHARED, _owner())


def _folder() -> Path:
    return cache_folder() / "lab" / "packages"


def _lists(folder: Path, image: str) -> Path:
    """Return the newest lists; older ones stay for the hosts that have them, for one more time."""
    there = sorted(folder.glob("lists-*"))
    now = int(time.time())
    if there and now - int(there[-1].name.removeprefix("lists-")) < FRESH:
        return there[-1]
    part, fetched = folder / "part", folder / f"lists-{now}"
    try:
        _in_container(image, folder, f"cd /mnt && rm -rf part {' '.join(path.name for path in there[:-1])}")
        part.mkdir()
        _in_container(image, folder, _FETCH, f"{part}:{LISTS}", f"{folder}/cache:{CACHE}")
        part.rename(fetched)
    except StackError:
        if there:
            return there[-1]
        raise
    return fetched


def _in_container(image: str, folder: Path, script: str, *volumes: str) -> None:
    """Run it as root, for apt leaves files that are root's; the folder is /mnt."""
    given = [word for volume in (f"{folder}:/mnt", *volumes) for word in ("--volume", volume)]
    words = ("sh", "-ec", script, "sh", _owner())
    podman("run", "--rm", "--pull=never", *ULIMITS, *given, image, *words, limit=LIMIT)


def _owner() -> str:
    return f"{os.getuid()}:{os.getgid()}"
