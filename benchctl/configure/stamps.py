"""What a converge depends on, as one hash for each instance and each loader.

A role writes the hash to the host when it is done; while it is the same, there is nothing to converge.
Must not know what the files mean.
"""

from __future__ import annotations

import hashlib
import json
import sys
from typing import TYPE_CHECKING

from benchctl.configure.variables import addresses, instance_entry, is_remote, loader_roles
from benchctl.errors import ConvergeError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchctl.model.host import Inventory
    from benchctl.model.plan import Plan

_NOT_INPUTS = ("__pycache__", "molecule")


def stamps(plan: Plan, inventory: Inventory, roles_path: Sequence[Path]) -> dict[str, str]:
    """Return name -> hash for each instance and each loader's role of a plan.

    The hash covers the files of the role, those of all roles in the last folder of `roles_path` (the shipped
    ones, which a role may include), its variables, for a loader those of the instances too (some take what
    the server has), the Python environment whose wheels a role takes, and the addresses of all hosts where
    they talk over the network.
    Raises ConvergeError when a role is nowhere.
    """
    shipped = _hash_files(roles_path[-1])
    network = json.dumps(addresses(inventory), sort_keys=True) if is_remote(inventory) else ""
    entries = {
        instance.id: json.dumps(instance_entry(instance), sort_keys=True) for instance in plan.instances
    }
    hashes = {}
    for instance in plan.instances:
        files = _hash_files(_find(instance.role, roles_path))
        hashes[instance.id] = _hash(shipped, files, entries[instance.id], network)
    for role in loader_roles(plan):
        told = json.dumps([plan.loaders.get(role, {}), entries], sort_keys=True)
        hashes[role] = _hash(shipped, _hash_files(_find(role, roles_path)), told, network)
    return hashes


def _find(role: str, roles_path: Sequence[Path]) -> Path:
    for folder in roles_path:
        if (folder / role / "tasks").is_dir():
            return folder / role
    raise ConvergeError(
        f"the role {role} is in none of {', '.join(map(str, roles_path))}",
        remedy="put it beside the experiment, or name its folder with --roles-path",
    )


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join((sys.prefix, *parts)).encode()).hexdigest()


def _hash_files(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and not set(relative.parts) & set(_NOT_INPUTS):
            digest.update(f"{relative}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
