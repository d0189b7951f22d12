"""Where a run keeps what its stack needs: the state, the passphrase, the keys, the engine's project."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchctl.errors import UnfitError
from benchctl.model.experiment import Secret
from benchctl.model.record import to_json
from benchctl.provision.secrets import resolve

STATE_URL = "BENCHCTL_STATE"  # another backend: s3://…, azblob://…, file://…
PASSPHRASE = "PULUMI_CONFIG_PASSPHRASE"  # noqa: S105 - the name of a variable
_KEYRING_ENTRY = "pulumi-passphrase"


class Place(NamedTuple):
    """The workspace, and the run's own folder in it."""

    root: Path
    folder: Path  # of the run; its name is the run's id

    @property
    def run(self) -> str:
        return self.folder.name

    @property
    def key(self) -> Path:
        return self.folder / "ssh" / "key"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "ssh" / "known_hosts"

    @property
    def work(self) -> Path:
        """Where the engine finds project and configuration."""
        return self.folder / "stack"

    def pinned(self) -> dict[str, str]:
        """Return what an earlier up chose that later ones keep."""
        try:
            return msgspec.json.decode((self.work / "pinned.json").read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return {}

    def pin(self, choices: dict[str, str]) -> None:
        (self.work / "pinned.json").write_bytes(to_json(choices))

    @property
    def private(self) -> Path:
        """The workspace's own files: the state of all stacks, and their passphrase."""
        return self.root / ".benchctl"

    @property
    def backend(self) -> str:
        return os.environ.get(STATE_URL) or f"file://{(self.private / 'state').absolute()}"

    @property
    def state_folder(self) -> Path | None:
        """Where the state lies in files; None for another backend."""
        kind, _, path = self.backend.partition("://")
        return Path(path) if kind == "file" else None


def passphrase(path: Path) -> str:
    """Return the state's passphrase: environment, keyring, else the one in `path`, made once (mode 600)."""
    if PASSPHRASE in os.environ:
        return os.environ[PASSPHRASE]
    with suppress(UnfitError):  # no keyring, or no such entry in it
        return resolve(Secret(keyring=_KEYRING_ENTRY))
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
        try:
            os.link(part, path)  # never over one that another run made meanwhile
        except FileExistsError:
            pass
        finally:
            part.unlink()
    return path.read_text(encoding="ascii")
