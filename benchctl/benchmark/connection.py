"""Reaching the agent of a run on a host, or on many at once.

Owns the choice of transport, the greeting and the lease. What happens on an open connection is in session.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from benchctl.agent import build, layout
from benchctl.benchmark.protocol import Agent, Clock, Pending
from benchctl.benchmark.session import CONNECT_TIMEOUT, AgentConnection
from benchctl.benchmark.transport import PipeTransport
from benchctl.errors import AgentError, BenchctlError, LeaseError, UnfitError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchctl.benchmark.transport import Transport
    from benchctl.model.host import Host

__all__ = ["Agent", "AgentConnection", "Clock", "Pending", "connect", "connect_all"]

AT_ONCE = 64  # hosts that are connected side by side


def connect(
    host: Host,
    run: str,
    *,
    owner: str,
    ttl: float,
    on_notice: Callable[[str], None] | None = None,
) -> AgentConnection:
    """Reach the agent of `run` on `host`, start it if needed, and take the host's lease for `ttl` seconds.

    The lease is renewed while the connection is open. `owner` is shown to whom it keeps out; `on_notice` is
    told of lost connections. Raises LeaseError when another run holds the host, UnreachableError,
    HostKeyError, AuthError or UnfitError when the host is not fit for it, ConnectionLostError when the agent
    does not start, AgentError when the run's agent is of another version of benchctl and at work.
    """
    if host.transport == "pipe":
        _check_folders(host, run)
    program = build.zipapp(layout.cache_folder())
    words = ["attach", "--run", run, "--ttl", f"{ttl:g}"]
    for attempt in (1, 2):
        connection = AgentConnection(transport_to(host), program, words, on_notice=on_notice)
        try:
            if _greet(connection, run, program.stem, last=attempt == 2):
                _take_lease(connection, owner, ttl)
                return connection
        except BaseException:
            connection.close()
            raise
        connection.close()
    raise AssertionError  # the second greeting returns or raises


def connect_all(
    hosts: Sequence[Host],
    run: str,
    *,
    owner: str,
    ttl: float,
    on_notice: Callable[[str], None] | None = None,
) -> dict[str, AgentConnection]:
    """Reach the agents of a run on all hosts, side by side; raises as `connect`, for all hosts in one error.

    When one host is not to be had, the others are let go, and what was started there without any work ends.
    """
    with ThreadPoolExecutor(max_workers=min(AT_ONCE, max(1, len(hosts)))) as pool:
        futures = {
            host.name: pool.submit(connect, host, run, owner=owner, ttl=ttl, on_notice=on_notice)
            for host in hosts
        }
    errors = [error for future in futures.values() if (error := future.exception()) is not None]
    if not errors:
        return {name: future.result() for name, future in futures.items()}
    for future in futures.values():
        if future.exception() is None:
            _let_go(future.result())
    raise merged(errors)


def merged(errors: Sequence[BaseException]) -> BaseException:
    """Make one error of several: of their common kind, with all messages."""
    for error in errors:
        if len(errors) == 1 or not isinstance(error, BenchctlError):
            return error
    found = [error for error in errors if isinstance(error, BenchctlError)]
    kinds = {type(error) for error in found}
    kind = kinds.pop() if len(kinds) == 1 else _common(found)
    remedies = dict.fromkeys(error.remedy for error in found if error.remedy)
    return kind("\n".join(error.detail for error in found), remedy="; ".join(remedies))


def _common(errors: Sequence[BenchctlError]) -> type[BenchctlError]:
    """The closest ancestor of all errors' kinds; the gravest is what stops a step, not what is unfit."""
    for kind in type(errors[0]).__mro__:
        if issubclass(kind, BenchctlError) and all(isinstance(error, kind) for error in errors):
            return kind
    return BenchctlError


def transport_to(host: Host) -> Transport:
    """Return the way to a host; nothing is opened yet."""
    if host.transport == "pipe":
        return PipeTransport(host.name)
    from benchctl.benchmark.ssh import SshTransport

    return SshTransport(host)


def _check_folders(host: Host, run: str) -> None:
    """Raise UnfitError when this machine has no place for sockets or for what outlives a run."""
    try:
        layout.runtime_folder(run)
        layout.cache_folder()
    except ValueError as error:
        raise UnfitError(
            f"{host.name}: {error}",
            remedy="XDG_RUNTIME_DIR wants a short path, as /run/user/UID; BENCHCTL_CACHE any folder of yours",
        ) from error


def _greet(connection: AgentConnection, run: str, wanted: str, *, last: bool) -> bool:
    """Return False when an idle agent of another version was there and has been ended."""
    connection.hello = connection.call("hello", timeout=CONNECT_TIMEOUT)
    if connection.hello["hash"] == wanted:
        return True
    if connection.hello.get("busy") is False and not last:
        connection.call("end", timeout=CONNECT_TIMEOUT)
        return False
    raise AgentError(
        f"{connection.host}: the agent of run {run} was started by another version of benchctl",
        remedy="resume the run with the version that started it, or wait for its lease to end",
    )


def _take_lease(connection: AgentConnection, owner: str, ttl: float) -> None:
    try:
        connection.keep_lease(owner, ttl)
    except LeaseError:
        with contextlib.suppress(BenchctlError):  # the refusal matters more
            connection.call("end", timeout=CONNECT_TIMEOUT)
        raise


def _let_go(connection: AgentConnection) -> None:
    if connection.hello.get("busy") is False:
        with contextlib.suppress(BenchctlError):
            connection.call("end", timeout=CONNECT_TIMEOUT)
    connection.close()
