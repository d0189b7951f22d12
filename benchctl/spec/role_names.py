"""The roles that a file names, found and read before its own keys are: what they say shapes those.

Must not check what the file gives to them.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from benchctl.errors import SpecError
from benchctl.spec.nodes import Entries, Items, Text
from benchctl.spec.problems import did_you_mean
from benchctl.spec.roles import read_role
from benchctl.spec.share import broken_plugins, find_role, role_folders, roles_in, with_plugins

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from benchctl.model.role import Kind, RoleMeta
    from benchctl.spec.nodes import Node
    from benchctl.spec.problems import Problems

SECTIONS = ("dbms", "workload")  # that a role stands behind
_KINDS: dict[str, tuple[Kind, ...]] = {"dbms": ("dbms",), "workload": ("loader",)}
_INSTALLED: tuple[Kind, ...] = ("dbms", "loader")  # what a stage may install
_OWN_ROLE = "put a role of your own beside the experiment, or name its folder by --roles-path"


class Named(NamedTuple):
    """A role's name in a file, and the part that it belongs to; the walker tells of one that is no text."""

    part: str  # dotted path
    name: Text
    kinds: tuple[Kind, ...]


def folders_for(root: Entries, beside: Path, roles_paths: Sequence[Path]) -> tuple[Path, ...]:
    """Where roles are looked for; other packages are asked only when a role is nowhere else."""
    folders = role_folders(beside, roles_paths)
    lost = any(find_role(one.name.text, folders) is None for one in _named(root))
    return with_plugins(folders) if lost else folders


def read_roles(root: Entries, folders: Sequence[Path], problems: Problems) -> dict[str, RoleMeta]:
    """Return the roles by the part that they belong to; each that there is not is a problem."""
    roles: dict[str, RoleMeta] = {}
    for part, name, kinds in _named(root):
        if find_role(name.text, folders) is not None:
            roles[part] = read_role(name.text, folders)
        else:
            known = _roles_of(kinds, folders)
            problems.add(
                name.place,
                f"{part}.role",
                f"found no role {name.text!r}",
                f"{', '.join(known)}{did_you_mean(name.text, known)}",
                "; ".join([_OWN_ROLE, *broken_plugins()]),
            )
    return roles


def _named(root: Entries) -> Iterator[Named]:
    parts: list[tuple[str, Node | None, tuple[Kind, ...]]] = [
        (section, root.get(section), _KINDS[section]) for section in SECTIONS
    ]
    stages = root.get("stages")
    for index, stage in enumerate(stages.items if isinstance(stages, Items) else ()):
        if isinstance(stage, Entries):
            parts.append((f"stages.{index}.install", stage.get("install"), _INSTALLED))
    for part, node, kinds in parts:
        name = node.get("role") if isinstance(node, Entries) else None
        if isinstance(name, Text) and name.text:
            yield Named(part, name, kinds)


def _roles_of(kinds: Sequence[Kind], folders: Sequence[Path]) -> list[str]:
    known = []
    for name in roles_in(folders):
        with suppress(SpecError):  # another role that is broken is not what this is about
            if read_role(name, folders).kind in kinds:
                known.append(name)
    return known
