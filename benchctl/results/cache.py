"""What benchctl keeps on this machine beside the runs' results: images, instances, agents, and more.

Owns which of it may go. Nothing goes while a run holds this machine: whoever removes holds the lease itself.
"""

from __future__ import annotations

import getpass
import json
import os
import secrets
import shutil
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, NamedTuple

from benchctl.agent import layout, memory
from benchctl.agent.lease import Lease
from benchctl.agent.refusal import RefusalError
from benchctl.errors import LeaseError, RunStateError
from benchctl.results.removal import size_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

ASIDE = ".removed"
LEASE_TTL = 3600.0  # seconds; the lease ends with this process anyway

Kind = Literal["image", "instance", "agent", "capacity", "software", "work", "inventory", "leftover"]


class Item(NamedTuple):
    """One thing that may go: what it is, its folder or file, and what else goes with it."""

    kind: Kind
    name: str
    path: Path
    bytes: int
    about: str
    with_it: tuple[Path, ...] = ()


def removable(cache: Path, current_agent: str) -> list[Item]:
    """List what later runs make again when they need it; `current_agent` names the zipapp that stays."""
    found = [
        *_items(cache, "image", "images/*", _about_image),
        *_items(cache, "instance", "instances/*", _about_instance),
        *_items(cache, "agent", "agent/*", lambda _: "of another version of benchctl"),
        *_items(cache, "capacity", memory.FILE, lambda _: "what load generators reach here at most"),
        *_items(cache, "software", "software/*/", lambda _: "fetched for hosts, or to build for them"),
        *_items(cache, "software", "prefixes/*.tar.gz", lambda _: "packed for hosts"),
        *_items(cache, "work", "runs/*", lambda _: "work folder of a run"),
        *_items(cache, "inventory", "inventories/*", lambda _: "what Ansible said of an inventory"),
        *_items(cache, "leftover", f"{ASIDE}/*", lambda _: "of a removal that was cut short"),
    ]
    return [
        item._replace(with_it=(cache / "stamps" / item.name,)) if item.kind == "instance" else item
        for item in found
        if item.kind != "agent" or not item.name.startswith(current_agent)  # its compiled copy stays too
    ]


def remove(cache: Path, items: Iterable[Item], gone: Callable[[Item], None]) -> None:
    """Remove items one by one, each at one instant; `gone` is told of each.

    Raises LeaseError when a run holds this machine, RunStateError when a file cannot be removed.
    """
    aside = cache / ASIDE
    with _held():
        for item in items:
            try:
                aside.mkdir(exist_ok=True)
                for path in (*item.with_it, item.path):
                    if path.exists() and path.parent != aside:
                        path.rename(aside / f"{path.name}.{secrets.token_hex(4)}")
                shutil.rmtree(aside)
            except OSError as error:
                raise RunStateError(
                    f"{error.filename or item.path}: {error.strerror}",
                    remedy="make it writable, or remove it as its owner; then run the command again",
                ) from error
            gone(item)


@contextmanager
def _held() -> Iterator[None]:
    """Hold this machine as a run does: no run starts meanwhile, and none is disturbed in its trials."""
    lease = Lease(layout.lease_folder(), f"clean-{os.getpid()}")
    owner = {"user": getpass.getuser(), "pid": os.getpid(), "host": socket.gethostname()}
    try:
        lease.take(owner, LEASE_TTL)
    except RefusalError as error:
        raise LeaseError(str(error), remedy="run the command again when that run has ended") from error
    try:
        yield
    finally:
        lease.release()


def _items(cache: Path, kind: Kind, pattern: str, about: Callable[[Path], str]) -> Iterator[Item]:
    for path in sorted(cache.glob(pattern)):
        yield Item(kind, path.name, path, size_of(path), about(path))


def _about_image(path: Path) -> str:
    return f"data of {_read(path / 'image.json').get('instance', 'an unfinished build')}"


def _about_instance(path: Path) -> str:
    binaries = _read(path / "descriptor.json").get("binaries")
    if not isinstance(binaries, dict) or not binaries:
        return "incomplete"
    return f"runs {next(iter(binaries.values()))}"


def _read(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
