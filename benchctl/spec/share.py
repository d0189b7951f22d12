"""Where the shipped playbooks, roles and experiments lie, and where a user's own are looked for first.

The one place that knows the difference between a checkout and an installed wheel. Must not read the files.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from benchctl.errors import SpecError
from benchctl.spec.problems import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAME_LIMIT = 255  # bytes of one part of a path
_PACKAGE = Path(__file__).resolve().parent.parent


Kind = Literal["playbooks", "roles", "molecule", "experiments", "inventories", "stacks", "scaffolds"]


def shared(kind: Kind) -> Path:
    """Return the folder of what is shipped: playbooks, roles, parts of molecule scenarios and the rest."""
    installed = _PACKAGE / "_share"
    return (installed if installed.is_dir() else _PACKAGE.parent) / kind


def role_folders(beside: Path | None, roles_paths: Sequence[Path] = ()) -> tuple[Path, ...]:
    """Return the folders that may hold roles, in order: beside the experiment, --roles-path, shipped."""
    own = () if beside is None else (beside, beside / "roles")
    return (*own, *roles_paths, shared("roles"))


def with_plugins(folders: Sequence[Path]) -> tuple[Path, ...]:
    """Return the folders with those of other packages' roles before the last, the shipped one."""
    from benchctl.loaders.plugins import role_folders as brought

    found = (one.folder for one in brought(shared("roles")) if one.folder is not None)
    return (*folders[:-1], *found, folders[-1])


def broken_plugins() -> tuple[str, ...]:
    """Return what is wrong with other packages' roles, each with the package's name."""
    from benchctl.loaders.plugins import role_folders as brought

    return tuple(one.problem for one in brought(shared("roles")) if one.problem)


def origin(folder: Path) -> str:
    """Return where a role's folder comes from: benchctl, another package or the folder itself."""
    from benchctl.loaders.plugins import role_folders as brought

    if folder.parent.resolve() == shared("roles"):
        return "benchctl"
    packages = (one.plugin.package for one in brought(shared("roles")) if one.folder == folder.parent)
    return next((f"package {package}" for package in packages), str(folder.absolute()))


def find_role(name: str, folders: Sequence[Path]) -> Path | None:
    """Return the folder of a role that has a meta/bench.yml, or None."""
    if Path(name).name != name or len(os.fsencode(name)) > _NAME_LIMIT:
        return None
    return next(
        (folder / name for folder in folders if (folder / name / "meta" / "bench.yml").is_file()), None
    )


def roles_in(folders: Sequence[Path]) -> tuple[str, ...]:
    """Return the names of all roles in these folders that benchctl can use."""
    return tuple(
        sorted({found.parent.parent.name for folder in folders for found in folder.glob("*/meta/bench.yml")})
    )


def neighbours(folder: Path, name: str) -> tuple[str, ...]:
    """Return the files in the folder where `name` was looked for, spelled like it."""
    parent = Path(name).parent
    try:
        files = [found.name for found in (folder / parent).iterdir() if found.is_file()]
    except (OSError, ValueError):
        return ()
    return tuple(str(parent / file) for file in sorted(files))


def find_experiment(source: Path | str) -> Path:
    """Return the file for a path, or for the name of an experiment beside us or shipped. Raises SpecError."""
    path = Path(source)
    with suppress(OSError, ValueError):  # what cannot be a path is no file either
        if path.exists() and not path.is_dir():
            return path
        if path.name == str(source) and not path.suffix:
            for candidate in (Path(f"{source}.yml"), shared("experiments") / f"{source}.yml"):
                if candidate.is_file():
                    return candidate
        if path.is_dir():
            raise SpecError(f"{path}: found a folder", remedy="name the experiment file in it")
    shipped = [found.stem for found in sorted(shared("experiments").glob("*.yml"))]
    near = [found for found in neighbours(Path(), str(source)) if found.endswith((".yml", ".yaml"))]
    alike = [name for name in (*near, *shipped) if did_you_mean(path.stem, [Path(name).stem])]
    raise SpecError(
        f"{source}: found no such file{did_you_mean(str(source), alike)}",
        remedy=f"give a path, or a shipped experiment: {', '.join(shipped)}",
    )
