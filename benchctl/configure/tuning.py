"""Set the knobs of a plan on its hosts, side by side, through their agents; and say what became of them.

Owns which host gets which tuning, and the words for outcomes. Must not know the knobs. What is set here is
given back by the agents: a run's when it ends, however it ends.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from benchctl.errors import UnfitError
from benchctl.model.tuning import HostTuning, KnobOutcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchctl.configure.runner import FleetLike
    from benchctl.journal import Journal
    from benchctl.model.host import Inventory
    from benchctl.model.plan import Plan
    from benchctl.model.tuning import GroupPlan

TUNE_LIMIT = 300.0  # seconds; units may take their time to stop


class Wanted(NamedTuple):
    """The tuning of one host; `roles` say what runs there: dbms, loader."""

    plan: GroupPlan
    roles: tuple[str, ...]


def wanted(plan: Plan, inventory: Inventory) -> dict[str, Wanted]:
    """Return the tuning of each host that has one. Raises UnfitError where two groups of a host differ."""
    found: dict[str, Wanted] = {}
    whose: dict[str, str] = {}  # host -> the group that it was first seen in
    roles = _roles(plan, inventory)
    for group, hosts in inventory.groups.items():
        tuning = plan.tuning.get(group)
        for host in hosts:
            first = whose.setdefault(host.name, group)
            if tuning != plan.tuning.get(first):
                raise UnfitError(
                    f"{host.name} is in the groups {first} and {group}, which are tuned in different ways",
                    remedy="give both groups the same tuning, or hosts of their own",
                )
            if tuning is not None:
                found[host.name] = Wanted(tuning, roles.get(host.name, ()))
    return found


def tune(
    chosen: Mapping[str, Wanted], fleet: FleetLike, journal: Journal, *, password: str | None = None
) -> dict[str, HostTuning]:
    """Set all knobs; what undoes it is the end of each agent. Raises UnfitError where nothing can be set.

    `password` is sudo's, for agents that are not root; it goes to them and nowhere else.
    """

    def arguments(host: str) -> dict[str, Any]:
        plan, roles = chosen[host]
        return {
            "values": plan.values,
            "profile": plan.profile,
            "shared": plan.shared,
            "roles": list(roles),
            **({"password": password} if password else {}),
        }

    with ExitStack() as stack:
        acts = {
            host: stack.enter_context(journal.act("tune", host=host, profile=one.plan.profile))
            for host, one in chosen.items()
        }
        try:
            replies = fleet.each("tune", arguments, hosts=chosen, timeout=TUNE_LIMIT)
        except UnfitError as error:
            raise UnfitError(
                error.detail,
                remedy="log in there as root, or as a user with sudo; or set nothing: tuning.profile=none",
            ) from error
        found = {host: _tuning(chosen[host].plan, reply) for host, reply in replies.items()}
        for host, act in acts.items():
            act.learned(outcomes=dict(Counter(knob.outcome for knob in found[host].knobs)))
    return found


def told(found: Mapping[str, HostTuning]) -> Iterator[str]:
    """Say what became of the knobs, hosts with the same counts together: `tuned: 41 applied, 12 already`."""
    alike: dict[str, list[str]] = {}
    for host, tuning in found.items():
        alike.setdefault(counted(tuning), []).append(host)
    for text, hosts in alike.items():
        yield f"tuned: {text}" if len(found) == 1 else f"tuned {', '.join(hosts)}: {text}"


def counted(tuning: HostTuning) -> str:
    """Say how many knobs had which outcome, the most frequent first."""
    counts = Counter(knob.outcome for knob in tuning.knobs)
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common()) or "no knobs"


def changed(before: HostTuning, now: HostTuning) -> list[str]:
    """Return the knobs that are in force on one side only, or set to another value."""
    sides = [{knob.knob: knob.value for knob in side.knobs if knob.in_force} for side in (before, now)]
    return sorted({name for name, _ in sides[0].items() ^ sides[1].items()})


def given_back(host: str, reply: Mapping[str, Any]) -> Iterator[tuple[bool, str]]:
    """Yield what an agent restored: whether a line is a warning, and the line."""
    restored = reply.get("restored", 0)
    yield False, f"{host}: {restored} place{'' if restored == 1 else 's'} restored"
    for row in reply.get("left", ()):
        text = f"left alone: {row['path']}: was {row['was']}, somebody set it to {row['found']}"
        yield True, f"{host}: {text}"
    for row in reply.get("failed", ()):
        yield True, f"{host}: failed: {row['path']}: {row['error']}"
    for row in reply.get("gone", ()):
        yield True, f"{host}: gone: {row['path']}"
    for problem in reply.get("problems", ()):
        yield True, f"{host}: {problem}"
    if reply.get("reboot"):
        yield (
            True,
            f"{host}: its kernel keeps parameters that are gone from its boot loader until it boots again",
        )


def _tuning(plan: GroupPlan, reply: Mapping[str, Any]) -> HostTuning:
    names = KnobOutcome.__struct_fields__
    rows = tuple(KnobOutcome(**{name: row[name] for name in names}) for row in reply["knobs"])
    return HostTuning(
        profile=plan.profile, shared=plan.shared, undo=reply["undo"], reboot=reply["reboot"], knobs=rows
    )


def _roles(plan: Plan, inventory: Inventory) -> dict[str, tuple[str, ...]]:
    """Return what runs on each host; of stages, services are the DBMS and the measured one is the load."""
    staged = [stage for stage in plan.stages if stage.spec is not None]
    groups = {
        "dbms": {stage.group for stage in staged if stage.kind == "service"} if staged else {"dbms"},
        "loader": {stage.group for stage in staged if stage.measured} if staged else {"loader"},
    }
    members = {
        role: {host.name for group in names for host in inventory.groups.get(group, ())}
        for role, names in groups.items()
    }
    return {
        host.name: tuple(role for role, names in members.items() if host.name in names)
        for host in inventory.hosts
    }
