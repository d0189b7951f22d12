"""Hosts that boot again under a run: told by their agents, awaited, and reached again.

Owns the wait. Must not know why; a run's lease and its agent end with the boot, and begin anew.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from benchctl.benchmark.connection import merged
from benchctl.errors import BenchctlError, HostKeyError, UnfitError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchctl.benchmark.protocol import Agent
    from benchctl.model.host import Host

LIMIT = 900.0  # seconds until a host is back: metal takes ten minutes to boot
ASK_LIMIT = 60.0  # seconds for the order itself
_PAUSE = 2.0  # seconds between two tries

AnyAgent = TypeVar("AnyAgent", bound="Agent")


def reboot_all(
    hosts: Sequence[Host],
    agents: Mapping[str, Agent],
    connect: Callable[[Host], AnyAgent],
    *,
    password: str = "",
    cancelled: Callable[[], bool] = lambda: False,
) -> dict[str, AnyAgent]:
    """Have hosts boot again side by side; return what `connect` gives of each then. The agents are closed.

    `password` is sudo's. Raises UnfitError when one is this machine, does not boot, or is not back in time,
    for all of them in one error; the others are let go then.
    """

    def one(host: Host) -> AnyAgent:
        return _reboot(host, agents[host.name], connect, password, cancelled)

    with ThreadPoolExecutor(max(1, len(hosts))) as pool:
        futures = [pool.submit(one, host) for host in hosts]
    errors = [error for future in futures if (error := future.exception()) is not None]
    if not errors:
        return {host.name: future.result() for host, future in zip(hosts, futures, strict=True)}
    for future in futures:
        if future.exception() is None:
            future.result().close()
    raise merged(errors)


def order(host: Host, agent: Agent, password: str = "") -> None:
    """Tell a host to boot again, and close the connection. Raises UnfitError when it is this machine."""
    if host.transport == "pipe":
        raise UnfitError(
            f"{host.name}: this machine cannot boot again under benchctl, which runs on it",
            remedy="boot it again yourself, then repeat the command: what it was told is kept",
        )
    agent.call("reboot", timeout=ASK_LIMIT, **({"password": password} if password else {}))
    agent.close()


def _reboot(
    host: Host,
    agent: Agent,
    connect: Callable[[Host], AnyAgent],
    password: str,
    cancelled: Callable[[], bool],
) -> AnyAgent:
    before = agent.hello["boot_id"]
    order(host, agent, password)
    end = time.monotonic() + LIMIT
    wrong = "it was interrupted"
    while not cancelled():
        try:
            found = connect(host)
        except HostKeyError:
            raise
        except BenchctlError as error:
            wrong = error.detail
        else:
            if found.hello["boot_id"] != before:
                return found
            found.close()
            wrong = "it did not shut down"
        if time.monotonic() > end:
            break
        time.sleep(_PAUSE)
    raise UnfitError(
        f"{host.name} was told to boot again and is not back: {wrong}",
        remedy="look at its console; `benchctl hosts restore` removes what its boot loader was told",
    )
