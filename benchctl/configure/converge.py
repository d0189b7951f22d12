"""Bring the hosts of a plan to the wanted state; without Ansible when they are in it already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchctl.configure.runner import Access, Call
from benchctl.configure.stamps import stamps
from benchctl.configure.variables import descriptor_paths, parts_by_host, role_variables
from benchctl.errors import AgentError, BenchctlError, ConnectionLostError, ConvergeError
from benchctl.model.experiment import InventoryHosts
from benchctl.provision import to_ansible
from benchctl.provision.fit import require_fit
from benchctl.provision.secrets import resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchctl.configure.runner import FleetLike, PlaybookRunner
    from benchctl.model.host import Host, Inventory
    from benchctl.model.plan import Plan

PLAYBOOK = "site"
_QUESTION_TIMEOUT = 60.0  # seconds; verify hashes binaries of a few hundred MB at most


class Converged(NamedTuple):
    """Whether Ansible had to be started; each host's descriptors by instance id or loader's role."""

    ansible: bool
    descriptors: dict[str, dict[str, str]]


def converge(  # noqa: PLR0913 - what a step has, and what people chose
    plan: Plan,
    inventory: Inventory,
    fleet: FleetLike,
    runner: PlaybookRunner,
    *,
    run_dir: Path,
    force: bool = False,
    become_password: str | None = None,
    on_event: Callable[[str], None],
    preflight: Callable[[tuple[Host, ...], str | None], None] = require_fit,
) -> Converged:
    """Converge the plan's hosts; Ansible's log goes to run_dir/ansible/configure/.

    When the stamps on all hosts match and every descriptor is verified, Ansible is not started, unless
    `force`. `become_password` was asked for on a terminal; the experiment's own secret wins. Raises
    UnfitError before anything is changed where sudo is wanted and refused; ConvergeError when Ansible
    fails, or when what it left does not verify.
    """
    want = stamps(plan, inventory, runner.roles_path)
    parts = parts_by_host(plan, inventory)
    caches = {host: str(fleet[host].hello["cache"]) for host in parts}
    descriptors = {host: descriptor_paths(plan, caches[host], names) for host, names in parts.items()}
    reason = "it was asked for" if force else _outdated(fleet, want, parts, descriptors)
    if not reason:
        return Converged(ansible=False, descriptors=descriptors)
    access = _access(plan, become_password)
    preflight(tuple(host for host in inventory.hosts if host.options.get("become")), access.become_password)
    on_event(f"Ansible converges, because {reason}")
    call = Call(
        PLAYBOOK,
        _with_folders(to_ansible(inventory), caches),
        role_variables(plan, inventory, want),
        folder=run_dir / "ansible" / "configure",
        on_event=on_event,
        access=access,
    )
    played = runner.run(call)
    if problems := _problems(fleet, descriptors):
        raise ConvergeError(
            "Ansible succeeded, but what it left does not verify:\n" + "\n".join(problems),
            remedy=f"see the roles' verify tasks; the full log is {played.log}",
        )
    return Converged(ansible=True, descriptors=descriptors)


def _access(plan: Plan, become_password: str | None) -> Access:
    hosts = plan.experiment.hosts
    if not isinstance(hosts, InventoryHosts):
        return Access()
    return Access(Path(hosts.path), sudo_password(plan, become_password))


def sudo_password(plan: Plan, asked: str | None) -> str | None:
    """Return sudo's password: the experiment's own secret, else what was asked for on a terminal."""
    hosts = plan.experiment.hosts
    secret = hosts.become.password if isinstance(hosts, InventoryHosts) else None
    return asked if secret is None else resolve(secret)


def _with_folders(shape: dict[str, Any], caches: dict[str, str]) -> dict[str, Any]:
    """Add where benchctl's files lie on each host, as its agent said; nothing goes to ~/.ansible there."""
    for host, cache in caches.items():
        variables = shape["all"]["hosts"][host]
        variables["bench_cache"] = cache
        if variables["bench_transport"] != "pipe":
            variables["ansible_remote_tmp"] = f"{cache}/tmp"  # noqa: S108 - below the cache
    return shape


def _outdated(
    fleet: FleetLike,
    want: dict[str, str],
    parts: dict[str, tuple[str, ...]],
    descriptors: dict[str, dict[str, str]],
) -> str:
    """Say why Ansible is needed; an empty string when it is not."""
    asked = [host for host, names in parts.items() if names]
    replies = fleet.each(
        "stamps",
        lambda host: {"want": {name: want[name] for name in parts[host]}},
        hosts=asked,
        timeout=_QUESTION_TIMEOUT,
    )
    differ = {host: replies[host]["differ"] for host in asked if replies[host]["differ"]}
    if not differ:
        return "; ".join(_problems(fleet, descriptors))
    if len(parts) == 1:
        return f"these are new or changed: {', '.join(differ[asked[0]])}"
    told = "; ".join(f"{host}: {', '.join(names)}" for host, names in differ.items())
    return f"these are new or changed on {told}"


def _problems(fleet: FleetLike, descriptors: dict[str, dict[str, str]]) -> list[str]:
    names = dict.fromkeys(name for paths in descriptors.values() for name in paths)
    return [problem for name in names for problem in _verify(fleet, name, descriptors)]


def _verify(fleet: FleetLike, name: str, descriptors: dict[str, dict[str, str]]) -> list[str]:
    """Let every host that has a descriptor of this name verify it, all at once."""
    problems: list[str] = []
    replies = fleet.stream(
        "verify",
        lambda host: {"descriptor": descriptors[host][name]},
        hosts=[host for host, paths in descriptors.items() if name in paths],
        timeout=_QUESTION_TIMEOUT,
    )
    for host, reply in replies:
        where = f"{host}: " if len(descriptors) > 1 else ""
        if not isinstance(reply, BenchctlError):
            problems += [f"{where}{problem}" for problem in reply["problems"]]
        elif isinstance(reply, AgentError) and not isinstance(reply, ConnectionLostError):
            problems.append(reply.detail)  # no descriptor, or one of another schema
        else:
            raise reply
    return problems
