"""What hosts are to a run, whatever they are called: runs on other hosts of the same groups can be compared.

A run's only host is `host`; of several, each goes by its groups and a number: `dbms[0]`, `dbms+loader[0]`, as
templates write it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

ONLY = "host"


def places(
    groups: Mapping[str, Sequence[str]],
    hosts: Iterable[str],
    order: Callable[[str], tuple[str, ...]] = lambda _: (),
) -> dict[str, str]:
    """Place -> host. Hosts of the same groups are numbered by `order`, else as the groups name them.

    Hosts that no group names are numbered together.
    """
    there = list(hosts)
    named = (host for members in groups.values() for host in members)
    known = [host for host in dict.fromkeys([*named, *there]) if host in there]
    if len(known) == 1:
        return {ONLY: known[0]}
    members: dict[str, list[str]] = {}
    for host in known:
        label = "+".join(name for name, listed in groups.items() if host in listed) or ONLY
        members.setdefault(label, []).append(host)
    return {
        f"{label}[{number}]": host
        for label, alike in members.items()
        for number, host in enumerate(sorted(alike, key=order))
    }
