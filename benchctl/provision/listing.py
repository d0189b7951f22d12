"""What `ansible-inventory --list` says, asked anew only when something that it reads has changed.

Owns that call and what is kept of it. Kept are the groups and the variables that benchctl itself reads, so no
secret; and only of inventories that are text and nothing else: no program, no plugin, no vault.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import secrets
import stat
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchctl.errors import UnfitError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_READ_LIMIT = 120  # seconds; an inventory may be a program that asks a cloud
_MAX_OUTPUT = 64 * 1024**2  # bytes
_MAX_KEPT = 4 * 1024**2  # bytes of the inventory and of the variables beside it
_BESIDE = ("group_vars", "host_vars")
_NOT_TEXT = (b"plugin", b"vault", b"VAULT")  # words without which no file asks a plugin or is encrypted
_FORM = "1"  # of what is kept


def listed(path: Path, read: Collection[str], keep: Path | None = None) -> dict[str, Any]:
    """Return what `ansible-inventory --list` prints, of host variables at least those that are `read`.

    With `keep` from that folder, when it was asked before by the same Ansible with the same environment, and
    all bytes that it reads are the same. Raises UnfitError with Ansible's own words.
    """
    key = _key(path, read) if keep is not None else ""
    if keep is None or not key:
        return ask(path)
    place = keep / f"{key}.json"
    with suppress(OSError, ValueError):
        kept = json.loads(place.read_bytes())
        if isinstance(kept, dict):
            return kept
    found = _without(ask(path), read)
    if key == _key(path, read):  # it was not written to meanwhile
        _save(place, found)
    return found


def ask(path: Path) -> dict[str, Any]:
    """Return what `ansible-inventory --list` prints now. Raises UnfitError with Ansible's own words."""
    program = Path(sys.executable).with_name("ansible-inventory")
    with tempfile.TemporaryDirectory(prefix="benchctl-inventory-") as private:
        config = Path(private, "ansible.cfg")
        config.touch()
        environment = {**os.environ, "ANSIBLE_CONFIG": str(config), "ANSIBLE_HOME": private}
        environment |= {"LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCAL_TEMP": private}
        environment |= {"ANSIBLE_INVENTORY_UNPARSED_FAILED": "1"}
        try:
            done = subprocess.run(
                [program, "--list", "-i", path.absolute()],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_READ_LIMIT,
                check=False,
            )
        except OSError as error:
            raise UnfitError(f"{program}: {error.strerror}", remedy="see `benchctl doctor`") from error
        except subprocess.TimeoutExpired as error:
            raise UnfitError(f"ansible-inventory took more than {_READ_LIMIT} s for {path}") from error
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode or len(done.stdout) > _MAX_OUTPUT:
        raise UnfitError(f"Ansible cannot read the inventory {path}:\n{said[-2000:]}", remedy=_remedy(said))
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _remedy(said: str) -> str:
    if "vault" in said.lower():
        return "set ANSIBLE_VAULT_PASSWORD_FILE or ANSIBLE_VAULT_IDENTITY_LIST; ansible.cfg is not read"
    return "try `ansible-inventory --list -i` with the same path"


def _key(path: Path, read: Collection[str]) -> str:
    """Hash all that the answer depends on; empty where that cannot be known."""
    release = _ansible()
    if release is None:
        return ""
    surroundings = {name: value for name, value in os.environ.items() if name.startswith("ANSIBLE_")}
    digest = hashlib.sha256(json.dumps([_FORM, sys.version, sorted(read), surroundings]).encode())
    left = _MAX_KEPT
    try:
        for file in (release, *_files(path)):
            data = _text(file, left)
            if file != release:
                left -= len(data)
                if any(word in data for word in _NOT_TEXT):
                    return ""
            digest.update(json.dumps([str(file.absolute()), len(data)]).encode() + data)
    except (OSError, _UnknownError):
        return ""
    return digest.hexdigest()


class _UnknownError(Exception):
    """What this inventory says may depend on more than its bytes."""


def _files(path: Path) -> Iterator[Path]:
    """The inventory, all of it when it is a folder, and the variables that Ansible takes from beside it."""
    if path.is_dir():
        yield from _below(path)
        return
    yield path
    for name in _BESIDE:
        for place in sorted(path.absolute().parent.glob(f"{name}*")):
            yield from _below(place) if place.is_dir() else (place,)


def _below(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders.sort()
        if any(Path(place, name).is_symlink() for name in folders):
            raise _UnknownError
        yield from (Path(place, name) for name in sorted(names))


def _text(path: Path, limit: int) -> bytes:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o111 or status.st_size > limit:
        raise _UnknownError
    return path.read_bytes()


def _ansible() -> Path | None:
    """The file of the installed Ansible that names its version."""
    found = importlib.util.find_spec("ansible")
    return Path(found.origin).with_name("release.py") if found is not None and found.origin else None


def _without(found: dict[str, Any], read: Collection[str]) -> dict[str, Any]:
    """Leave out all variables but those that are read: what is kept must not hold a secret."""
    hosts: dict[str, dict[str, Any]] = found.get("_meta", {}).get("hostvars", {})
    known = {name: {key: values[key] for key in values if key in read} for name, values in hosts.items()}
    groups = {
        name: {key: group[key] for key in ("hosts", "children") if key in group}
        for name, group in found.items()
        if name != "_meta"
    }
    return {"_meta": {"hostvars": known}, **groups}


def _save(place: Path, found: dict[str, Any]) -> None:
    """Keep it if that is possible; the next call asks again otherwise."""
    part = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        part.touch(0o600)
        part.write_text(json.dumps(found), encoding="utf-8")
        part.replace(place)
