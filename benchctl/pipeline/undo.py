"""The way back: every host is cleaned as far as it can be reached, side by side with the others.

Owns what is told of a host that stays behind. Must not stop at the first failure.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from benchctl.errors import BenchctlError, ConnectionLostError, RunStateError
from benchctl.model.event import Message
from benchctl.pipeline.session import END_LIMIT, REMOVE_LIMIT
from benchctl.pipeline.tuning import reboot_given_back, tell_given_back

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchctl.model.host import Host
    from benchctl.pipeline.session import Session

AT_ONCE = 64  # hosts


def release(session: Session) -> None:
    """End the agents that this execution reached, with all that still runs under them."""
    reached = session.reached
    if reached:
        undo(session, [host for host in session.inventory().hosts if host.name in reached], remove=False)


def undo(session: Session, hosts: Sequence[Host], *, remove: bool) -> None:
    """Stop what runs for this run on each host and end its agent; with `remove` its files go first.

    Raises ConnectionLostError when all others are clean, with the hosts that are not.
    """

    def one(host: Host) -> BenchctlError | None:
        try:
            _undo(session, host, remove=remove)
        except RunStateError:
            raise  # the journal takes no entries: another way back is needed
        except BenchctlError as error:
            return error
        return None

    if len(hosts) == 1:
        failures = [one(hosts[0])]
    else:
        with ThreadPoolExecutor(max(1, min(AT_ONCE, len(hosts))), "undo") as pool:
            failures = list(pool.map(one, hosts))
    session.close()
    left = {host.name: error for host, error in zip(hosts, failures, strict=True) if error is not None}
    if left:
        clean = f"; {len(hosts) - len(left)} of {len(hosts)} hosts are clean" if len(hosts) > 1 else ""
        raise ConnectionLostError(
            "\n".join(error.detail for error in left.values()) + f"\nnot cleaned: {', '.join(left)}{clean}",
            remedy=f"when it can be reached again, `benchctl destroy {session.store.id}` cleans it",
        )


def _undo(session: Session, host: Host, *, remove: bool) -> None:
    agent = session.living_agent(host)
    if remove:
        work = agent.hello["work"]
        with session.journal.act("remove", host=agent.host, path=work):
            agent.call("remove", timeout=REMOVE_LIMIT, path=work)
    with session.journal.act("end", host=agent.host) as act:
        ended = agent.call("end", timeout=END_LIMIT)
        act.learned(**ended)
    if "tuning" in ended:
        boots = remove and reboot_given_back(session, host, ended["tuning"])
        tell_given_back(session, host.name, {**ended["tuning"], **({"reboot": False} if boots else {})})
    if stopped := ended["stopped"]:
        session.listener(Message(level="warning", text=f"stopped on {agent.host}: {', '.join(stopped)}"))
