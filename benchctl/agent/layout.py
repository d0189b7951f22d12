"""Where things lie on a host: cache, the run's work folder, its runtime folder, the lease.

Owns names and limits of paths, nothing else; only `private_folder` touches the file system.
"""

import hashlib
import os
from pathlib import Path

from benchctl.agent.refusal import RefusalError

SOCKET_LIMIT = 107  # bytes of a Unix socket's path that Linux takes
ROOM_FOR_SOCKETS = 24  # a server's socket stands in the same folder: .s.PGSQL.54321.lock
TUNING_TAG = "tuning"  # what holds or guards settings: it may outlive the run that started it
TUNING_JOURNAL = "tuning.jsonl"
LINE_LIMIT = 64 * 1024  # bytes of one request or reply
NOBODY = 65534  # the user and group that a server runs as where it refuses root
MARKER = "BENCHCTL_RUN"  # in the environment of everything that a run starts
OWNER_TAG = "BENCHCTL_OWNER"  # the task or instance that a process belongs to


def cache_folder() -> Path:
    """Return the folder for what outlives a run: $BENCHCTL_CACHE, or benchctl in the XDG cache.

    Raises ValueError when neither is set and the user has no home.
    """
    if chosen := os.environ.get("BENCHCTL_CACHE"):
        return Path(chosen).absolute()
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError as error:
        raise ValueError("this user has no home; set BENCHCTL_CACHE to a folder for images") from error
    return base.absolute() / "benchctl"


def runtime_folder(run: str) -> Path:
    """Return the run's private folder for sockets; its name is short because socket paths are limited.

    Raises ValueError when even so there is no room for a server's socket.
    """
    base = os.environ.get("XDG_RUNTIME_DIR")
    parent = Path(base) / "benchctl" if base else _temporary() / f"benchctl-{os.getuid()}"
    folder = parent.absolute() / hashlib.sha256(run.encode()).hexdigest()[:10]
    if len(os.fsencode(folder)) + ROOM_FOR_SOCKETS > SOCKET_LIMIT:
        raise ValueError(f"{folder} is too long for sockets; set XDG_RUNTIME_DIR to a shorter folder")
    return folder


def lease_folder() -> Path:
    """Return the folder of the host's one lease, shared by all users of the host."""
    chosen = os.environ.get("BENCHCTL_LEASE_DIR")
    return Path(chosen).absolute() if chosen else _temporary() / "benchctl-lease"


def state_folder() -> Path:
    """Return the folder of what tuning must know to give the host back, whoever asks for it."""
    return Path(os.environ.get("BENCHCTL_STATE_DIR") or "/var/lib/benchctl").absolute()


def tuning_journal() -> Path:
    """Return the file of what tuning has changed on this host."""
    return state_folder() / TUNING_JOURNAL


def machine_root() -> str:
    """Return the folder in which the host's /proc and /sys lie: another one stands for another machine."""
    return os.environ.get("BENCHCTL_ROOT") or "/"


def check_name(name: str, what: str) -> str:
    """Return `name` when it can stand as one part of a path. Raises RefusalError otherwise."""
    if not name or "/" in name or "\0" in name or name in {".", ".."} or len(name) > 200:
        raise RefusalError(f"{name!r} cannot be the name of {what}")
    return name


def private_folder(path: Path) -> Path:
    """Make a folder for this user alone. Raises PermissionError when another user owns it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_uid != os.getuid():
        raise PermissionError(f"{path} belongs to another user; remove it or set XDG_RUNTIME_DIR")
    return path


def below(path: Path, folder: Path) -> bool:
    """Say whether `path` is `folder` or lies inside it, after its parents' links are followed."""
    real = path.parent.resolve() / path.name
    top = folder.resolve()
    return real == top or top in real.parents


def _temporary() -> Path:
    """What the tempfile module would choose, which takes longer to load than all the rest of the attacher."""
    return Path(os.environ.get("TMPDIR") or "/tmp")  # noqa: S108 - the folders made there are private
