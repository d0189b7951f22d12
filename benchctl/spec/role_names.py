"""The roles that a file names, found and read before its own keys are: what they say shapes those.

Must not check what the file gives to them.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from benchctl.errors import SpecError
from benchctl.spec.nodes import Entries, Items, Text
from benchctl.spec.problems import did_you_mean
from benchctl.spec.roles import read_role
from benchctl.spec.share import find_role, roles_in

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchctl.model.role import Kind, RoleMeta
    from benchctl.spec.problems import Problems

SECTIONS = ("dbms", "workload")  # that a role stands behind
_INSTALLED: tuple[Kind, ...] = ("dbms", "loader")  # what a stage may install


def read_roles(root: Entries, folders: Sequence[Path], problems: Problems) -> dict[str, RoleMeta]:
    """Return the roles of the sections, by section; each that there is not is a problem."""
    roles: dict[str, RoleMeta] = {}
    for section in SECTIONS:
        part = root.get(section)
        name = part.get("role") if isinstance(part, Entries) else None
        if not isinstance(name, Text) or not name.text:
            continue  # the walker says what is wrong with it
        if find_role(name.text, folders) is not None:
            roles[section] = read_role(name.text, folders)
        elif name.text == "external" and section == "dbms":
            problems.add(name.place, "dbms.role", "role external is not supported in this version")
        else:
            _unknown(name, f"{section}.role", ["dbms" if section == "dbms" else "loader"], folders, problems)
    return roles


def read_installed(root: Entries, folders: Sequence[Path], problems: Problems) -> dict[str, RoleMeta]:
    """Return the roles that stages install, by name; each that there is not is a problem."""
    found: dict[str, RoleMeta] = {}
    stages = root.get("stages")
    for index, stage in enumerate(stages.items if isinstance(stages, Items) else ()):
        install = stage.get("install") if isinstance(stage, Entries) else None
        name = install.get("role") if isinstance(install, Entries) else None
        if not isinstance(name, Text) or not name.text:
            continue
        if find_role(name.text, folders) is not None:
            found[name.text] = read_role(name.text, folders)
        else:
            _unknown(name, f"stages.{index}.install.role", _INSTALLED, folders, problems)
    return found


def _unknown(
    name: Text, path: str, kinds: Sequence[Kind], folders: Sequence[Path], problems: Problems
) -> None:
    known = _roles_of(kinds, folders)
    problems.add(
        name.place,
        path,
        f"found no role {name.text!r}",
        f"{', '.join(known)}{did_you_mean(name.text, known)}",
        "put a role of your own beside the experiment, or name its folder by --roles-path",
    )


def _roles_of(kinds: Sequence[Kind], folders: Sequence[Path]) -> list[str]:
    known = []
    for name in roles_in(folders):
        with suppress(SpecError):  # another role that is broken is not what this is about
            if read_role(name, folders).kind in kinds:
                known.append(name)
    return known
