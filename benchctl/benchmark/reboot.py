"""A host that boots again under a run: told by its agent, awaited, and reached again.

Owns the wait. Must not know why; the run's lease and its agent end with the boot, and begin anew.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from benchctl.benchmark.connection import connect, merged
from benchctl.errors import BenchctlError, HostKeyError, UnfitError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchctl.benchmark.protocol import Agent
    from benchctl.benchmark.session import AgentConnection
    from benchctl.model.host import Host

LIMIT = 900.0  # seconds until a host is back: metal takes ten minutes to boot
_ASK = 60.0  # seconds for the order itself
_PAUSE = 2.0  # seconds between two tries


def reboot_all(
    hosts: Sequence[Host],
    agents: Mapping[str, Agent],
    run: str,
    *,
    owner: str,
    ttl: float,
    password: str = "",
    cancelled: Callable[[], bool] = lambda: False,
) -> dict[str, AgentConnection]:
    """Have hosts boot again side by side; return the new connections by host.

    Raises what `reboot` does, for all hosts in one error; the others are let go then.
    """
    with ThreadPoolExecutor(len(hosts)) as pool:
        futures = [
            pool.submit(
                reboot,
                host,
                agents[host.name],
                run,
                owner=owner,
                ttl=ttl,
                password=password,
                cancelled=cancelled,
            )
            for host in hosts
        ]
    errors = [error for future in futures if (error := future.exception()) is not None]
    if not errors:
        return {host.name: future.result() for host, future in zip(hosts, futures, strict=True)}
    for future in futures:
        if future.exception() is None:
            future.result().close()
    raise merged(errors)


def reboot(
    host: Host,
    agent: Agent,
    run: str,
    *,
    owner: str,
    ttl: float,
    password: str = "",
    cancelled: Callable[[], bool] = lambda: False,
) -> AgentConnection:
    """Have a host boot again, and return a connection to the run's new agent there; the old one is closed.

    Raises UnfitError when it is this machine, does not boot, or is not back in time.
    """
    if host.transport == "pipe":
        raise UnfitError(
            f"{host.name}: this machine cannot boot again under benchctl, which runs on it",
            remedy="boot it again yourself, then repeat the command: what it was told is kept",
        )
    before = agent.hello["boot_id"]
    agent.call("reboot", timeout=_ASK, **({"password": password} if password else {}))
    agent.close()
    end = time.monotonic() + LIMIT
    wrong = "it was interrupted"
    while not cancelled():
        try:
            found = connect(host, run, owner=owner, ttl=ttl)
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
