"""Which hosts a verb of `benchctl hosts` is about: of an inventory, of an experiment, or this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchctl.model.experiment import Experiment
    from benchctl.model.host import Host

_ROLES = ("dbms", "loader")
inventory = click.option(
    "-i",
    "--inventory",
    type=click.Path(exists=True, path_type=Path),
    help="Ansible inventory: a file or a folder. Then every name is a host or a group of it.",
)
targets = click.argument("targets", metavar="[EXPERIMENT] [HOST]…", nargs=-1)
roles = click.option(
    "--roles",
    default="dbms",
    show_default=True,
    metavar="ROLE,ROLE",
    callback=lambda _context, _option, given: roles_of(given),
    help="What shares each host: dbms, loader, or both; the CPU plan is made for it.",
)
ask_become_password = click.option(
    "-K", "--ask-become-password", is_flag=True, help="Ask for sudo's password on the terminal; never stored."
)


def roles_of(given: str) -> tuple[str, ...]:
    """Return the roles that are named, in the plan's order. Raises BadParameter for others."""
    words = [word.strip() for word in given.split(",") if word.strip()]
    unknown = [word for word in words if word not in _ROLES]
    if unknown or not words:
        raise click.BadParameter(f"{given!r}: name dbms, loader or both")
    return tuple(role for role in _ROLES if role in words)


def select(inventory_path: Path | None, names: Sequence[str]) -> tuple[list[Host], Experiment | None]:
    """Return the hosts, and the experiment where they come from one; without a word: this machine."""
    from benchctl.model.experiment import Become, Ssh
    from benchctl.model.host import Host
    from benchctl.provision import provisioner_for
    from benchctl.provision.static import read_inventory, resolve_hosts
    from benchctl.spec import load

    if inventory_path is not None:
        known = read_inventory(inventory_path, kept_inventories())
        wanted = names or known.groups["all"]
        unknown = [name for name in wanted if name not in known.variables and name not in known.groups]
        _refuse(
            unknown, str(inventory_path), [*known.groups["all"], *sorted(set(known.groups) - {"ungrouped"})]
        )
        members = dict.fromkeys(host for name in wanted for host in known.groups.get(name, (name,)))
        return list(resolve_hosts(known, list(members), Ssh(), Become()).values()), None
    if not names:
        return [Host(name="localhost", transport="pipe")], None
    experiment = load(names[0]).experiment
    provisioner = provisioner_for(experiment, kept_inventories())
    hosts = {host.name: host for host in provisioner.provision(experiment).hosts}
    _refuse([name for name in names[1:] if name not in hosts], names[0], list(hosts))
    return [hosts[name] for name in names[1:] or hosts], experiment


def kept_inventories() -> Path | None:
    """Return the folder in which the content of inventories is kept; None for a user without a home."""
    from benchctl.agent.layout import cache_folder

    try:
        return cache_folder() / "inventories"
    except ValueError:
        return None


def become_password(experiment: Experiment | None, *, ask: bool) -> str | None:
    """Return sudo's password: what the experiment names, else what a person types, else none."""
    from benchctl.model.experiment import InventoryHosts
    from benchctl.provision.secrets import resolve

    hosts = experiment.hosts if experiment else None
    if isinstance(hosts, InventoryHosts) and hosts.become.password is not None:
        return resolve(hosts.become.password)
    if not ask:
        return None
    if not sys.stdin.isatty():
        raise UsageError(
            "There is no terminal to ask for sudo's password on.",
            remedy="name it in the experiment: hosts.become.password: {env: NAME}",
        )
    import getpass

    return getpass.getpass("sudo's password on the hosts: ")


def _refuse(unknown: Sequence[str], where: str, known: Sequence[str]) -> None:
    if unknown:
        raise UsageError(f"{where} has no host {', '.join(unknown)}", remedy=f"it has: {', '.join(known)}")
