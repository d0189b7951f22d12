"""`benchctl init loader NAME` and `init role NAME`: a package of one's own that works before it is changed.

Copies a folder of `scaffolds`, with the name in the place of the template's. Must not install anything.
"""

from __future__ import annotations

import keyword
import re
import shutil
from pathlib import Path
from typing import NamedTuple

from benchctl.errors import RunStateError, UsageError
from benchctl.spec.share import find_role, role_folders, shared, with_plugins

_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
_LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*", "*.egg-info")


class Kind(NamedTuple):
    folder: str  # of scaffolds
    name: str  # that the template has everywhere
    what: str


KINDS = {
    "loader": Kind("loader", "exampleload", "load generator"),
    "role": Kind("role", "exampledb", "system under test"),
}


def scaffold(kind: str, name: str) -> Path:
    """Write the package below the current folder and return its folder.

    Raises:
        UsageError: a name that cannot be, or that is taken; a folder that is there.
        RunStateError: it cannot be written; what was is removed again.
    """
    chosen = KINDS[kind]
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or name in {"bench_common", "external"}:
        raise UsageError(
            f"{name!r} cannot be the name of a {chosen.what}",
            remedy="use lower-case letters, digits and _, a letter first, such as my_load",
        )
    if find_role(name, with_plugins(role_folders(Path()))) is not None:
        raise UsageError(f"there is a role {name} already", remedy=f"see `benchctl roles show {name}`")
    target = Path(f"benchctl-{name.replace('_', '-')}")
    if target.exists():
        raise UsageError(f"{target} is there already", remedy="choose another name, or remove it")
    try:
        _copy(shared("scaffolds") / chosen.folder, target, chosen.name, name)
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise RunStateError(f"{target}: {error.strerror}", remedy="go where you can write") from error
    return target


def _copy(source: Path, target: Path, old: str, new: str) -> None:
    shutil.copytree(source, target, ignore=_LEFT_OUT)
    for path in sorted(target.rglob("*"), reverse=True):  # what is inside before what it is in
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            text = text.replace(f"benchctl-{old}", f"benchctl-{new.replace('_', '-')}").replace(old, new)
            path.write_text(text, encoding="utf-8")
        if old in path.name:
            path.rename(path.with_name(path.name.replace(old, new)))
