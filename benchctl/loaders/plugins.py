"""Load generators and roles that other installed packages bring, by their entry points.

Group `benchctl.loaders`: a role's name and its module. Group `benchctl.roles`: any name and the package whose
folder holds roles. Owns the look-up, which costs what it costs only where no shipped part has the name. A
package that is broken is told by name; it keeps no other from working.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from benchctl.errors import UnfitError

if TYPE_CHECKING:
    from types import ModuleType

_PARTS = ("ENDS_ITSELF", "names", "prepare", "command", "null_run", "parse", "samples", "latencies")


class Plugin(NamedTuple):
    """One entry point."""

    name: str
    value: str
    package: str  # its name and version, for people

    @property
    def place(self) -> str:
        return f"package {self.package}, entry point {self.name} = {self.value}"


class RoleFolder(NamedTuple):
    """What an entry point of roles leads to."""

    plugin: Plugin
    folder: Path | None
    problem: str = ""


@cache
def plugins(group: Literal["benchctl.loaders", "benchctl.roles"]) -> tuple[Plugin, ...]:
    """Every entry point of a group, by name."""
    from importlib.metadata import entry_points  # late: it is slow to load, and few installations have any

    found = [
        Plugin(point.name, point.value, f"{point.dist.name} {point.dist.version}" if point.dist else "?")
        for point in entry_points(group=group)
    ]
    return tuple(sorted(set(found)))


def module(role: str) -> ModuleType | None:
    """The module that a package has for a role; None when none has. Raises UnfitError for a broken one."""
    found = [plugin for plugin in plugins("benchctl.loaders") if plugin.name == role]
    if not found:
        return None
    if len(found) > 1:
        raise UnfitError(
            f"the load generator {role!r} is in several packages: {'; '.join(one.place for one in found)}",
            remedy="uninstall all of them but one",
        )
    (plugin,) = found
    try:
        loaded = import_module(plugin.value)
    except (Exception, SystemExit) as error:  # whatever a foreign module does while it is imported
        raise _broken(plugin, f"{type(error).__name__}: {error}") from error
    missing = [part for part in _PARTS if not hasattr(loaded, part)]
    if missing:
        raise _broken(plugin, f"the module lacks {', '.join(missing)}")
    return loaded


@cache
def role_folders(shipped: Path) -> tuple[RoleFolder, ...]:
    """Every entry point of roles, with its folder or what is wrong with it; names in `shipped` are taken."""
    taken = {path.name for path in shipped.iterdir() if path.is_dir()}
    return tuple(_role_folder(plugin, taken) for plugin in plugins("benchctl.roles"))


def _role_folder(plugin: Plugin, taken: set[str]) -> RoleFolder:
    try:
        spec = find_spec(plugin.value)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it imports the packages around the folder
        return RoleFolder(plugin, None, f"{plugin.place}: {type(error).__name__}: {error}")
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    names = {path.parent.parent.name for place in places for path in Path(place).glob("*/meta/bench.yml")}
    if len(places) != 1 or not names:
        return RoleFolder(plugin, None, f"{plugin.place}: no folder with roles (NAME/meta/bench.yml)")
    if names & taken:
        clash = ", ".join(sorted(names & taken))
        return RoleFolder(plugin, None, f"{plugin.place}: benchctl itself has the roles {clash}")
    return RoleFolder(plugin, Path(places[0]))


def _broken(plugin: Plugin, what: str) -> UnfitError:
    return UnfitError(
        f"the load generator {plugin.name!r} cannot be used: {plugin.place}: {what}",
        remedy=f"mend or uninstall that package: {plugin.package.split(' ')[0]}",
    )
