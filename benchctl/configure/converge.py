"""Bring the hosts of a plan to the wanted state; without Ansible when they are in it already."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchctl.configure.stamps import stamps
from benchctl.configure.variables import descriptor_paths, role_variables
from benchctl.errors import AgentError, ConnectionLostError, ConvergeError
from benchctl.provision import to_ansible

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchctl.configure.runner import AgentLike, PlaybookRunner
    from benchctl.model.host import Inventory
    from benchctl.model.plan import Plan

PLAYBOOK = "site"
_QUESTION_TIMEOUT = 60.0  # seconds; verify hashes binaries of a few hundred MB at most


class Converged(NamedTuple):
    """Whether Ansible had to be started, and the descriptors by instance id or loader's role."""

    ansible: bool
    descriptors: dict[str, str]


def converge(  # noqa: PLR0913 - what a step has, and what people chose
    plan: Plan,
    inventory: Inventory,
    agent: AgentLike,
    runner: PlaybookRunner,
    *,
    run_dir: Path,
    cache: str,
    force: bool = False,
    on_event: Callable[[str], None],
) -> Converged:
    """Converge the plan's host; its log goes to run_dir/ansible/configure/.

    When the stamps on the host match and every descriptor is verified, Ansible is not started, unless
    `force`. Raises ConvergeError when Ansible fails, or when what it left does not verify.
    """
    want = stamps(plan, runner.roles_path)
    descriptors = descriptor_paths(plan, cache)
    reason = "it was asked for" if force else _outdated(agent, want, descriptors)
    if not reason:
        return Converged(ansible=False, descriptors=descriptors)
    on_event(f"Ansible converges, because {reason}")
    played = runner.run(
        PLAYBOOK,
        to_ansible(inventory),
        role_variables(plan, cache, want),
        folder=run_dir / "ansible" / "configure",
        on_event=on_event,
    )
    if problems := _problems(agent, descriptors):
        raise ConvergeError(
            "Ansible succeeded, but what it left does not verify:\n" + "\n".join(problems),
            remedy=f"see the roles' verify tasks; the full log is {played.log}",
        )
    return Converged(ansible=True, descriptors=descriptors)


def _outdated(agent: AgentLike, want: dict[str, str], descriptors: dict[str, str]) -> str:
    """Say why Ansible is needed; an empty string when it is not."""
    if differ := agent.call("stamps", timeout=_QUESTION_TIMEOUT, want=want)["differ"]:
        return f"these are new or changed: {', '.join(differ)}"
    return "; ".join(_problems(agent, descriptors))


def _problems(agent: AgentLike, descriptors: dict[str, str]) -> list[str]:
    return [problem for path in descriptors.values() for problem in _verify(agent, path)]


def _verify(agent: AgentLike, path: str) -> list[str]:
    try:
        problems: list[str] = agent.call("verify", timeout=_QUESTION_TIMEOUT, descriptor=path)["problems"]
    except ConnectionLostError:
        raise
    except AgentError as error:  # no descriptor, or one of another schema
        return [error.detail]
    return problems
