"""Hosts in a cloud after they were made: awaited over SSH, and told the time at which they go.

One command does both, so a host that answered has its dead man's switch set. Must not know any provider.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from benchctl.errors import BenchctlError, StackError
from benchctl.provision import expiry
from benchctl.provision.remote import ask

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchctl.model.host import Host

LIMIT = 900.0  # seconds: metal takes ten minutes to boot
_ANSWER = 300.0  # seconds for one try: a host that boots waits for its own cloud-init
_PAUSE = 2.0  # seconds between two tries
_CONSOLE = 3000  # characters of a console that tell
_PARALLEL = 32


def settle(
    hosts: Sequence[Host],
    expires: float,
    *,
    console: Callable[[str], str],
    cancelled: Callable[[], bool] = lambda: False,
    limit: float = LIMIT,
) -> None:
    """Wait until every host answers and has its expiry (s since the epoch).

    Raises StackError with the end of the `console` of the first host that never does within `limit` seconds.
    """
    end = time.monotonic() + limit
    one = partial(_settled, expires=expires, end=end, cancelled=cancelled)
    with ThreadPoolExecutor(min(_PARALLEL, len(hosts)) or 1) as pool:
        for host, wrong in zip(hosts, list(pool.map(one, hosts)), strict=True):
            if wrong:
                raise StackError(
                    f"{host.name} ({host.options['address']}): sshd did not answer: {wrong}\n"
                    f"its console:\n{told(console, host.name)}",
                    remedy="see that hosts.ssh_from is your address as seen from outside",
                )


def _settled(host: Host, *, expires: float, end: float, cancelled: Callable[[], bool]) -> str:
    """Try until the host has taken its expiry; return what was wrong last, or nothing."""
    wrong = "interrupted before the first try"
    while not cancelled():
        wrong = _tried(host, expires)
        if not wrong or time.monotonic() > end:
            break
        time.sleep(_PAUSE)
    return wrong


def _tried(host: Host, expires: float) -> str:
    command = f"cloud-init status --wait >/dev/null 2>&1; echo {int(expires)} | sudo -n tee {expiry.FILE}"
    return ask(host, command, limit=_ANSWER).wrong


def told(console: Callable[[str], str], name: str) -> str:
    """Return the end of a host's console; that it cannot be had is not what the reader waits for."""
    try:
        return console(name)[-_CONSOLE:].strip() or "(empty)"
    except BenchctlError as error:
        return f"({error.detail})"
