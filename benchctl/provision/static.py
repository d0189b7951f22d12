"""Hosts of an Ansible inventory: read by Ansible, matched with the experiment's groups, resolved by ssh.

What wins: the experiment file, then the inventory's variables, then ssh's own configuration. Secrets that an
inventory holds are read by Ansible alone; none is kept here. Must not connect to any host.
"""

from __future__ import annotations

import difflib
import re
import shlex
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchctl.errors import SpecError
from benchctl.model.experiment import Become, InventoryHosts, Ssh
from benchctl.model.host import Host, Inventory
from benchctl.provision.listing import listed
from benchctl.provision.openssh import Wanted, checked, resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchctl.model.experiment import Experiment
    from benchctl.model.record import Scalar

_PARALLEL = 16  # ssh -G at once
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}", re.ASCII)
_WORDS = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
_KEYS = ("ansible_ssh_private_key_file", "ansible_private_key_file")
_ADDRESS, _PORT = ("ansible_host", "ansible_ssh_host"), ("ansible_port", "ansible_ssh_port")
_USER = ("ansible_user", "ansible_ssh_user")
_PYTHON, _PRIVATE, _CONNECTION = "ansible_python_interpreter", "bench_address", "ansible_connection"
_BECOME, _BECOME_USER, _BECOME_METHOD = "ansible_become", "ansible_become_user", "ansible_become_method"
_READ = frozenset(
    [
        *(*_WORDS, *_KEYS, *_ADDRESS, *_PORT, *_USER, _PYTHON, _PRIVATE, _CONNECTION),
        *(_BECOME, _BECOME_USER, _BECOME_METHOD),
    ]
)
_TRUE = ("true", "yes", "on", "1", "y", "t")


class Known(NamedTuple):
    """What an inventory says: the variables of each host, and the hosts of each group, its children's too."""

    path: Path
    variables: dict[str, dict[str, Any]]
    groups: dict[str, tuple[str, ...]]


class InventoryProvisioner:
    """Gives the hosts that an inventory has already; there is nothing to make or to take away."""

    def __init__(self, keep: Path | None = None) -> None:
        """`keep` is a folder for what is read of inventories that are plain text; without it nothing is."""
        self._keep = keep

    def provision(self, experiment: Experiment) -> Inventory:
        """Return the experiment's groups, each with the first `count` hosts of the inventory's group.

        Raises SpecError for groups or hosts that are missing and for values that are refused, UnfitError when
        Ansible cannot read the inventory.
        """
        hosts = experiment.hosts
        if not isinstance(hosts, InventoryHosts):
            raise TypeError("the experiment's hosts come from no inventory")
        known = read_inventory(Path(hosts.path), self._keep)
        names = [*(["dbms"] if experiment.dbms else []), *(["loader"] if experiment.workload else [])]
        wanted = {name: hosts.groups.get(name) for name in dict.fromkeys([*names, *hosts.groups])}
        chosen = {
            name: _choose(known, name, group.inventory_group if group else None, group.count if group else 1)
            for name, group in wanted.items()
        }
        _refuse_strangers(known, chosen)
        resolved = resolve_hosts(known, _once(chosen.values()), hosts.ssh, hosts.become)
        return Inventory(
            groups={name: tuple(resolved[host] for host in members) for name, members in chosen.items()}
        )


def read_inventory(path: Path, keep: Path | None = None) -> Known:
    """Let `ansible-inventory` read an inventory; vault passwords come by Ansible's own environment variables.

    With `keep` it is not asked again about what has not changed (listing). The user's ansible.cfg is not
    read. Raises UnfitError with Ansible's own words, SpecError for host names that could be taken for
    something else.
    """
    if not path.exists():
        raise SpecError(f"the inventory {path} does not exist", remedy="correct hosts.path, or the argument")
    said = listed(path, _READ, keep)
    variables: dict[str, dict[str, Any]] = said.get("_meta", {}).get("hostvars", {})
    groups = {name: _members(said, name, ()) for name in said if name != "_meta"}
    names = _once([*groups.values(), tuple(variables)])
    for name in names:
        if not _NAME.fullmatch(name):
            raise SpecError(
                f"{path}: {name[:80]!a} cannot be the name of a host",
                remedy="use letters, digits, '.', '_' and '-', and put the address into ansible_host",
            )
    groups["all"] = names
    return Known(path, {name: variables.get(name, {}) for name in names}, groups)


def resolve_hosts(known: Known, names: Sequence[str], ssh: Ssh, become: Become) -> dict[str, Host]:
    """Return the hosts of these names with their SSH options; several are asked about at once."""
    with ThreadPoolExecutor(_PARALLEL) as pool:
        found = pool.map(lambda name: _host(name, known.variables[name], ssh, become), names)
        return dict(zip(names, found, strict=True))


def _members(said: Mapping[str, Any], name: str, above: tuple[str, ...]) -> tuple[str, ...]:
    if name in above:
        return ()
    group = said.get(name, {})
    children = [_members(said, child, (*above, name)) for child in group.get("children", ())]
    return _once([group.get("hosts", ()), *children])


def _once(parts: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for part in parts for name in part))


def _choose(known: Known, name: str, inventory_group: str | None, count: int) -> tuple[str, ...]:
    source = inventory_group or name
    if source not in known.groups:
        close = difflib.get_close_matches(source, known.groups, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        there = ", ".join(sorted(set(known.groups) - {"ungrouped"}))
        raise SpecError(
            f"{known.path} has no group {source}, which hosts.groups.{name} needs",
            remedy=f"{hint}The inventory has: {there}. hosts.groups.{name}.inventory_group names another one",
        )
    members = known.groups[source]
    if len(members) < count:
        raise SpecError(
            f"hosts.groups.{name} wants {count} host{'s' * (count > 1)}, but {source} of {known.path} has "
            f"{len(members)}" + (f": {', '.join(members)}" if members else ""),
            remedy=f"add hosts to {source}, or lower hosts.groups.{name}.count",
        )
    return members[:count]


def _refuse_strangers(known: Known, chosen: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse groups that mean one thing in the experiment and another in the inventory.

    Ansible gets both, and would give a chosen host the roles of a group that the experiment keeps it out of.
    """
    used = set(_once(chosen.values()))
    for name, members in chosen.items():
        extra = sorted(used & set(known.groups.get(name, ())) - set(members))
        if extra:
            raise SpecError(
                f"{known.path} has {', '.join(extra)} in its group {name}, but the experiment uses "
                f"{'it' if len(extra) == 1 else 'them'} in another group only",
                remedy=f"raise hosts.groups.{name}.count, or name the inventory's group differently",
            )


def _host(name: str, variables: Mapping[str, Any], ssh: Ssh, become: Become) -> Host:
    connection = _text(name, variables, _CONNECTION) or "ssh"
    if connection == "local":
        return Host(name=name, transport="pipe")
    if connection not in {"ssh", "smart", "paramiko", "paramiko_ssh", "ansible.builtin.ssh"}:
        raise SpecError(f"{name}: ansible_connection is {connection!a}", remedy="use ssh or local")
    options = resolve(name, _wanted(name, variables, ssh))
    return Host(
        name=name, transport="ssh", options=checked(name, options | _beyond_ssh(name, variables, become))
    )


def _wanted(name: str, variables: Mapping[str, Any], ssh: Ssh) -> Wanted:
    port = _first(name, variables, *_PORT)
    if port is not None and not (port.isascii() and port.isdigit()):
        raise SpecError(f"{name}: ansible_port is {port!a}, which is no number")
    words = [word for key in _WORDS for word in _split(name, key, _text(name, variables, key) or "")]
    return Wanted(
        address=_first(name, variables, *_ADDRESS) or name,
        user=ssh.user or _first(name, variables, *_USER),
        port=ssh.port or (int(port) if port else None),
        key=ssh.key or _first(name, variables, *_KEYS),
        jump=ssh.jump,
        known_hosts=ssh.known_hosts,
        config=ssh.config,
        arguments=tuple(words),
    )


def _beyond_ssh(name: str, variables: Mapping[str, Any], become: Become) -> dict[str, Scalar]:
    options: dict[str, Scalar] = {}
    python = _text(name, variables, _PYTHON)
    if python and not python.startswith("auto"):
        options["python"] = python
    if private := _text(name, variables, _PRIVATE):
        options["private_address"] = private
    if become.enabled or (_text(name, variables, _BECOME) or "").lower() in _TRUE:
        own = None if become.enabled else _text(name, variables, _BECOME_USER)
        options["become"] = True
        options["become_user"] = own or become.user
        options["become_method"] = _text(name, variables, _BECOME_METHOD) or "sudo"
    return options


def _split(name: str, key: str, text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise SpecError(f"{name}: {key} is {text[:80]!a}: {error}") from error


def _first(name: str, variables: Mapping[str, Any], *keys: str) -> str | None:
    return next((found for key in keys if (found := _text(name, variables, key)) is not None), None)


def _text(name: str, variables: Mapping[str, Any], key: str) -> str | None:
    """Return a variable as text; what only Ansible could work out is refused by name."""
    value = variables.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str | int | bool):
        what = "encrypted" if isinstance(value, dict) and "__ansible_vault" in value else "no plain value"
        raise SpecError(f"{name}: {key} is {what}", remedy="write it as it is: benchctl has to know it too")
    if "{{" in str(value):
        raise SpecError(f"{name}: {key} is a template", remedy="write the value: benchctl has to know it too")
    return str(value)
